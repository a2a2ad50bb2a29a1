package ai.nibble.nn;

import ai.nibble.tensor.Parallel;
import ai.nibble.tensor.Rows;
import ai.nibble.tensor.Scope;
import ai.nibble.tensor.Tensor;

/**
 * Moves one sequence between token-major rows, as projections write them, and head-major matrices,
 * as batched products want them: queries {@code [kvHeads, T·group, D]} (row t·group + g), keys and
 * values {@code [kvHeads, T, D]}. Queries and keys are rotated on the way.
 */
final class HeadLayout {
  private static final int TOKENS_A_RANGE = 64;

  private final Attention attention;
  private final int start;
  private final int length;

  /**
   * @param start first token of the sequence
   * @param length tokens of the sequence, T
   */
  HeadLayout(Attention attention, int start, int length) {
    this.attention = attention;
    this.start = start;
    this.length = length;
  }

  /** Which third of a token's row. */
  enum Part {
    QUERY,
    KEY,
    VALUE
  }

  /** Heads of a part that share one matrix row's token. */
  int group(Part part) {
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

  /** An uninitialised head-major matrix for a part. */
  Tensor allocate(Part part, Precision precision) {
    return Tensor.empty(
        precision.product(),
        attention.keyValueHeads(),
        (long) length * group(part),
        attention.headDim());
  }

  /** Reads a part of {@code qkv [N, …]} into {@code [kvHeads, T·group, D]}, rotated. */
  void gather(Part part, Tensor qkv, Tensor heads) {
    move(part, firstColumn(part), qkv, heads, part == Part.VALUE ? 0 : 1, true);
  }

  /** Writes the gradient of a gathered part to its place in {@code [N, …]}. */
  void scatterGradient(Part part, Tensor heads, Tensor qkv) {
    move(part, firstColumn(part), qkv, heads, part == Part.VALUE ? 0 : -1, false);
  }

  /** Writes attention's result {@code [kvHeads, T·group, D]} to {@code [N, heads·D]}. */
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
    int group = group(part);
    int kvHeads = attention.keyValueHeads();
    int width = kvHeads * group * d;
    try (Scope scope = new Scope()) {
      Tensor[] perHead = new Tensor[kvHeads];
      for (int h = 0; h < kvHeads; h++) {
        Tensor one = scope.own(heads.narrow(0, h, 1));
        perHead[h] = scope.own(one.view(length, (long) group * d));
      }
      Parallel.forRanges(
          length,
          TOKENS_A_RANGE,
          (begin, end) -> {
            Rows outer = Rows.of(tokens, start + begin, start + end);
            Rows[] inner = new Rows[kvHeads];
            for (int h = 0; h < kvHeads; h++) {
              inner[h] = Rows.of(perHead[h], begin, end);
            }
            float[] row = new float[width];
            float[] block = new float[group * d];
            for (long t = begin; t < end; t++) {
              if (toHeads) {
                outer.load(start + t, column, row, width);
                rotate(row, (int) t, direction);
              }
              for (int h = 0; h < kvHeads; h++) {
                if (toHeads) {
                  System.arraycopy(row, h * block.length, block, 0, block.length);
                  inner[h].store(t, block);
                } else {
                  inner[h].load(t, block);
                  System.arraycopy(block, 0, row, h * block.length, block.length);
                }
              }
              if (!toHeads) {
                rotate(row, (int) t, direction);
                outer.store(start + t, column, row, width);
              }
            }
          });
    }
  }

  private void rotate(float[] row, int position, int direction) {
    if (direction == 0) {
      return;
    }
    int d = attention.headDim();
    for (int at = 0; at < row.length; at += d) {
      attention.rotary().rotate(row, at, position, direction);
    }
  }
}
