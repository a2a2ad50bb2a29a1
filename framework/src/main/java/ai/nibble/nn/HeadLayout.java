package ai.nibble.nn;

import ai.nibble.tensor.Parallel;
import ai.nibble.tensor.Rows;
import ai.nibble.tensor.Scope;
import ai.nibble.tensor.Tensor;

/**
 * Moves the tokens of a pass between token-major rows, as projections write them, and head-major
 * matrices, as attention's products want them: queries {@code [kvHeads, N·group, D]} (row t·group +
 * g), keys and values {@code [kvHeads, N, D]}. Queries and keys are rotated on the way.
 */
final class HeadLayout {
  private final Attention attention;
  private final int[] positions;

  /**
   * @param positions each token's position in its sequence, {@code [N]}
   */
  HeadLayout(Attention attention, int[] positions) {
    this.attention = attention;
    this.positions = positions;
  }

  /** Which third of a token's row. */
  enum Part {
    QUERY,
    KEY,
    VALUE
  }

  private int group(Part part) {
    return part == Part.QUERY ? attention.group() : 1;
  }

  private int firstColumn(Part part) {
    int d = attention.headDim();
    return switch (part) {
      case QUERY -> 0;
      case KEY -> attention.heads() * d;
      case VALUE -> (attention.heads() + attention.keyValueHeads()) * d;
    };
  }

  /** An uninitialised head-major matrix for a part; the caller's to close. */
  Tensor allocate(Part part, Precision precision) {
    return Tensor.empty(
        precision.product(),
        attention.keyValueHeads(),
        (long) positions.length * group(part),
        attention.headDim());
  }

  /** Reads a part of {@code qkv [N, …]} into {@code [kvHeads, N·group, D]}, rotated. */
  void gather(Part part, Tensor qkv, Tensor heads) {
    move(part, firstColumn(part), qkv, heads, part == Part.VALUE ? 0 : 1, true);
  }

  /** Writes the gradient of a gathered part to its place in {@code [N, …]}. */
  void scatterGradient(Part part, Tensor heads, Tensor qkv) {
    move(part, firstColumn(part), qkv, heads, part == Part.VALUE ? 0 : -1, false);
  }

  /** Writes attention's result {@code [kvHeads, N·group, D]} to {@code [N, heads·D]}. */
  void scatterOutput(Tensor heads, Tensor output) {
    move(Part.QUERY, 0, output, heads, 0, false);
  }

  /** Reads the gradient of attention's result. */
  void gatherOutputGradient(Tensor output, Tensor heads) {
    move(Part.QUERY, 0, output, heads, 0, true);
  }

  private void move(
      Part part, int column, Tensor tokens, Tensor heads, int direction, boolean toHeads) {
    int d = attention.headDim();
    int kvHeads = attention.keyValueHeads();
    int block = group(part) * d;
    try (Scope scope = new Scope()) {
      Tensor[] perHead = new Tensor[kvHeads];
      for (int h = 0; h < kvHeads; h++) {
        Tensor one = scope.own(heads.narrow(0, h, 1));
        perHead[h] = scope.own(one.view(positions.length, block));
      }
      Parallel.forRanges(
          positions.length,
          Rows.grain((long) kvHeads * block),
          (begin, end) -> {
            for (int h = 0; h < kvHeads; h++) {
              int from = column + h * block;
              if (toHeads) {
                try (Rows in = Rows.reading(tokens, begin, end, from, block);
                    Rows out = Rows.writing(perHead[h], begin, end)) {
                  move(in, out, begin, end, direction);
                }
              } else {
                try (Rows in = Rows.reading(perHead[h], begin, end);
                    Rows out = Rows.writing(tokens, begin, end, from, block)) {
                  move(in, out, begin, end, direction);
                }
              }
            }
          });
    }
  }

  private void move(Rows in, Rows out, long begin, long end, int direction) {
    float[] row = new float[in.width()];
    int d = attention.headDim();
    for (long t = begin; t < end; t++) {
      in.load(t, row);
      if (direction != 0) {
        for (int at = 0; at < row.length; at += d) {
          attention.rotary().rotate(row, at, positions[(int) t], direction);
        }
      }
      out.store(t, row);
    }
  }
}
