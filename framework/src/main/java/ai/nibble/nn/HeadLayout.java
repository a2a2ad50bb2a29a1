package ai.nibble.nn;

import ai.nibble.tensor.Device;
import ai.nibble.tensor.Parallel;
import ai.nibble.tensor.Rows;
import ai.nibble.tensor.Scope;
import ai.nibble.tensor.Tensor;
import java.nio.ByteBuffer;
import java.util.BitSet;
import java.util.stream.IntStream;

/**
 * Moves the tokens of a pass between token-major rows, as projections write them, and head-major
 * matrices, as attention's products want them: queries {@code [kvHeads, N·group, D]} (row t·group +
 * g), keys and values {@code [kvHeads, N, D]}. Queries and keys are rotated on the way, values are
 * not.
 */
final class HeadLayout {
  private final Attention attention;
  private final int[] positions;
  private final BitSet inLong;
  private final boolean inRegisters;

  /**
   * @param positions each token's position in its sequence, {@code [N]}
   * @param inLong which tokens rotate by the frequencies of longer sequences
   * @param inRegisters whether heads are rotated as {@link PairRows}, where these serve
   */
  HeadLayout(Attention attention, int[] positions, BitSet inLong, boolean inRegisters) {
    this.attention = attention;
    this.positions = positions;
    this.inLong = inLong;
    this.inRegisters = inRegisters && attention.rotary().inRegisters();
  }

  /** The tokens of one sequence from {@code first} to its end. */
  static HeadLayout ofSequence(Attention attention, int first, int end) {
    BitSet inLong = new BitSet();
    inLong.set(0, end - first, attention.rotary().isLong(end));
    return new HeadLayout(attention, IntStream.range(first, end).toArray(), inLong, false);
  }

  /** Which tokens of a pass rotate by the frequencies of longer sequences: whole trees of it. */
  static BitSet inLong(RotaryTable rotary, Pass pass, int[] positions) {
    BitSet inLong = new BitSet();
    int[] starts = pass.treeStarts();
    for (int s = 0; s + 1 < starts.length && rotary.switches(); s++) {
      int tokens =
          1 + IntStream.range(starts[s], starts[s + 1]).map(t -> positions[t]).max().orElse(0);
      inLong.set(starts[s], starts[s + 1], rotary.isLong(tokens));
    }
    return inLong;
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
  Tensor allocate(Part part, Precision precision, Device device) {
    return Tensor.empty(
        device,
        precision.product(),
        attention.keyValueHeads(),
        (long) positions.length * group(part),
        attention.headDim());
  }

  /**
   * Reads a part of {@code qkv [N, …]} into {@code [kvHeads, N·group, D]}, all but values rotated.
   */
  void gather(Part part, Tensor qkv, Tensor heads) {
    if (part == Part.VALUE) {
      copy(part, qkv, heads, true);
    } else {
      rotate(part, qkv, heads, true);
    }
  }

  /** Writes the gradient of a gathered part to its place in {@code [N, …]}. */
  void scatterGradient(Part part, Tensor heads, Tensor qkv) {
    if (part == Part.VALUE) {
      copy(part, qkv, heads, false);
    } else {
      rotate(part, qkv, heads, false);
    }
  }

  /** Writes attention's result {@code [kvHeads, N·group, D]} to {@code [N, heads·D]}. */
  void scatterOutput(Tensor heads, Tensor output) {
    copy(Part.QUERY, output, heads, false);
  }

  /** Reads the gradient of attention's result. */
  void gatherOutputGradient(Tensor output, Tensor heads) {
    copy(Part.QUERY, output, heads, true);
  }

  private void copy(Part part, Tensor tokens, Tensor heads, boolean toHeads) {
    long width = (long) group(part) * attention.headDim();
    long[] sizes = {attention.keyValueHeads(), positions.length, width};
    long column = tokens.stride(1);
    long[] strides = {width * column, tokens.stride(0), column};
    try (Tensor byToken = tokens.asStrided(sizes, strides, firstColumn(part) * column);
        Tensor byHead = heads.asStrided(sizes, new long[] {heads.stride(0), width, 1}, 0)) {
      (toHeads ? byHead : byToken).copyFrom(toHeads ? byToken : byHead);
    }
  }

  /** Copies queries or keys, rotated on the way to heads and rotated back on the way from them. */
  private void rotate(Part part, Tensor tokens, Tensor heads, boolean toHeads) {
    int kvHeads = attention.keyValueHeads();
    int width = group(part) * attention.headDim();
    int first = firstColumn(part);
    if (inRegisters && PairRows.serve(width, tokens, heads)) {
      rotateInRegisters(part, tokens, heads, toHeads);
      return;
    }
    try (Scope scope = new Scope()) {
      Tensor[] perHead = new Tensor[kvHeads];
      for (int h = 0; h < kvHeads; h++) {
        Tensor one = scope.own(heads.narrow(0, h, 1));
        perHead[h] = scope.own(one.view(positions.length, width));
      }
      Parallel.forRanges(
          positions.length,
          Rows.grain((long) kvHeads * width),
          (begin, end) -> {
            if (toHeads) {
              rotateToHeads(tokens, first, perHead, begin, end);
            } else {
              rotateFromHeads(perHead, tokens, first, begin, end);
            }
          });
    }
  }

  private void rotateInRegisters(Part part, Tensor tokens, Tensor heads, boolean toHeads) {
    int count = group(part);
    int bytes = Short.BYTES * count * attention.headDim();
    int stride = PairRows.bytes(tokens);
    int first = Short.BYTES * firstColumn(part);
    Parallel.forRanges(
        positions.length,
        Rows.grain((long) attention.keyValueHeads() * count * attention.headDim()),
        (begin, end) -> {
          int n = (int) (end - begin);
          ByteBuffer rows = PairRows.window(tokens, begin, end);
          for (int h = 0; h < attention.keyValueHeads(); h++) {
            long start = ((long) h * positions.length + begin) * bytes;
            ByteBuffer own = heads.bytes(start, n * bytes);
            int column = first + h * bytes;
            for (int t = 0; t < n; t++) {
              int token = (int) begin + t;
              ByteBuffer from = toHeads ? rows : own;
              int at = t * stride + column;
              attention
                  .rotary()
                  .rotate(
                      from,
                      toHeads ? at : t * bytes,
                      toHeads ? own : rows,
                      toHeads ? t * bytes : at,
                      count,
                      positions[token],
                      inLong.get(token),
                      toHeads ? 1 : -1);
            }
          }
        });
  }

  private void rotateToHeads(Tensor tokens, int first, Tensor[] perHead, long begin, long end) {
    int width = (int) perHead[0].size(1);
    float[] values = new float[perHead.length * width];
    try (Scope scope = new Scope();
        Rows from = Rows.reading(tokens, begin, end, first, values.length)) {
      Rows[] to = new Rows[perHead.length];
      for (int h = 0; h < to.length; h++) {
        to[h] = scope.own(Rows.writing(perHead[h], begin, end));
      }
      for (long t = begin; t < end; t++) {
        from.load(t, values);
        rotate(values, (int) t, 1);
        for (int h = 0; h < to.length; h++) {
          to[h].store(t, values, h * width);
        }
      }
    }
  }

  private void rotateFromHeads(Tensor[] perHead, Tensor tokens, int first, long begin, long end) {
    int width = (int) perHead[0].size(1);
    float[] values = new float[perHead.length * width];
    try (Scope scope = new Scope();
        Rows to = Rows.writing(tokens, begin, end, first, values.length)) {
      Rows[] from = new Rows[perHead.length];
      for (int h = 0; h < from.length; h++) {
        from[h] = scope.own(Rows.reading(perHead[h], begin, end));
      }
      for (long t = begin; t < end; t++) {
        for (int h = 0; h < from.length; h++) {
          from[h].load(t, values, h * width);
        }
        rotate(values, (int) t, -1);
        to.store(t, values);
      }
    }
  }

  private void rotate(float[] values, int token, int direction) {
    boolean isLong = inLong.get(token);
    for (int at = 0; at < values.length; at += attention.headDim()) {
      attention.rotary().rotate(values, at, positions[token], isLong, direction);
    }
  }
}
