package ai.nibble.nn;

import ai.nibble.autograd.Function;
import ai.nibble.autograd.Gradients;
import ai.nibble.cuda.ElementwiseKernels;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Ops;
import ai.nibble.tensor.Parallel;
import ai.nibble.tensor.Rows;
import ai.nibble.tensor.Tensor;

/**
 * Rows of the embedding table, {@code [N, hidden]} in the compute dtype; no inputs on the tape.
 * Backward adds each row's gradient to its token's, in the order of the positions.
 */
public final class Embedding extends Function {
  private static final int TOKENS_A_RANGE = 64;

  private final DenseWeight table;
  private final int[] ids;
  private final Pass pass;
  private final Precision precision;
  private final double scale;

  /**
   * @param table {@code [vocabulary, hidden]}
   * @param ids below the vocabulary's size
   */
  public Embedding(DenseWeight table, int[] ids, Precision precision) {
    this(table, ids, precision, 1);
  }

  /**
   * Without noise.
   *
   * @param scale as below
   */
  public Embedding(DenseWeight table, int[] ids, Precision precision, double scale) {
    this(table, ids, Pass.evaluating(0, ids.length), precision, scale);
  }

  /**
   * @param table {@code [vocabulary, hidden]}
   * @param ids below the vocabulary's size
   * @param pass of these tokens, in which they may get noise
   * @param scale that rows are multiplied by, itself rounded to the compute dtype; other than 1 on
   *     the CPU alone
   */
  public Embedding(DenseWeight table, int[] ids, Pass pass, Precision precision, double scale) {
    this.table = table;
    this.ids = ids.clone();
    this.pass = pass;
    this.precision = precision;
    float[] rounded = {(float) scale};
    precision.compute().round(rounded, 0, 1);
    this.scale = rounded[0];
  }

  /**
   * What looking up all tokens holds; ids and, while they are converted, rows of the table.
   *
   * @param held the table's dtype
   */
  public static Footprint footprint(Extent extent, int hidden, DType held) {
    long n = extent.tokens();
    long converted = held == extent.precision().compute() ? 0 : extent.bytes(held, n, hidden);
    return Footprint.of(extent.compute(n, hidden))
        .inForward(extent.bytes(DType.INT64, n) + converted);
  }

  @Override
  protected boolean hasParameters() {
    return table.parameter().isPresent();
  }

  @Override
  protected Tensor[] forward(Tensor[] inputs) {
    Tensor rows = lookedUp();
    try {
      if (pass.training() && pass.embeddingNoise() > 0) {
        EmbeddingNoise.add(rows, pass);
      }
      return new Tensor[] {rows};
    } catch (RuntimeException e) {
      rows.close();
      throw e;
    }
  }

  private Tensor lookedUp() {
    Tensor weight = table.tensor();
    if (scale != 1 && Kernels.serve(weight)) {
      throw new IllegalStateException("an embedding scaled by " + scale + " has no kernel");
    }
    Tensor rows = Tensor.empty(weight.device(), weight.dtype(), ids.length, weight.size(1));
    try (Tensor index = Tensor.ofIndices(weight.device(), ids)) {
      Ops.indexSelect(rows, weight, index);
      if (rows.dtype() == precision.compute()) {
        return scaled(rows);
      }
      try (rows) {
        return scaled(rows.to(precision.compute()));
      }
    } catch (RuntimeException e) {
      rows.close();
      throw e;
    }
  }

  private Tensor scaled(Tensor rows) {
    if (scale != 1) {
      try (Tensor factor = Tensor.of(rows.device(), new float[] {(float) scale}, 1);
          Tensor typed = factor.to(rows.dtype())) {
        Ops.mul(rows, rows, typed);
      } catch (RuntimeException e) {
        rows.close();
        throw e;
      }
    }
    return rows;
  }

  @Override
  protected void backward(Tensor[] gradOutputs, Gradients gradients) {
    Tensor grad = table.parameter().orElseThrow().grad();
    int[] starts = new int[Math.toIntExact(grad.size(0)) + 1];
    int[] positions = positionsByToken(starts);
    if (Kernels.serve(grad)) {
      try (Tensor sorted = Tensor.ofInts(grad.device(), positions);
          Tensor firsts = Tensor.ofInts(grad.device(), starts)) {
        ElementwiseKernels.embeddingGradient(grad, gradOutputs[0], sorted, firsts);
      }
      return;
    }
    boolean wide = gradOutputs[0].dtype() == DType.FLOAT32;
    try (Tensor dy = wide ? gradOutputs[0].share() : gradOutputs[0].to(DType.FLOAT32)) {
      Parallel.forRanges(
          grad.size(0),
          TOKENS_A_RANGE,
          (begin, end) -> {
            if (starts[(int) begin] < starts[(int) end]) {
              addRows(grad, dy, starts, positions, (int) begin, (int) end);
            }
          });
    }
  }

  /** Adds to the gradients of tokens {@code [begin, end)}. */
  private void addRows(Tensor grad, Tensor dy, int[] starts, int[] positions, int begin, int end) {
    try (Rows sums = Rows.updating(grad, begin, end);
        Rows from = Rows.reading(dy, 0, dy.size(0))) {
      float[] sum = new float[sums.width()];
      float[] row = new float[sums.width()];
      for (int token = begin; token < end; token++) {
        if (starts[token] == starts[token + 1]) {
          continue;
        }
        sums.load(token, sum);
        for (int i = starts[token]; i < starts[token + 1]; i++) {
          from.load(positions[i], row);
          for (int c = 0; c < row.length; c++) {
            sum[c] += (float) scale * row[c];
          }
        }
        sums.store(token, sum);
      }
    }
  }

  /**
   * Positions sorted by their token, ascending within a token (a counting sort).
   *
   * @param starts zeros, {@code [vocabulary + 1]}; takes where each token's positions begin
   */
  private int[] positionsByToken(int[] starts) {
    for (int id : ids) {
      starts[id + 1]++;
    }
    for (int token = 1; token < starts.length; token++) {
      starts[token] += starts[token - 1];
    }
    int[] next = starts.clone();
    int[] positions = new int[ids.length];
    for (int p = 0; p < ids.length; p++) {
      positions[next[ids[p]]++] = p;
    }
    return positions;
  }
}
