package ai.nibble.nn;

import ai.nibble.autograd.Function;
import ai.nibble.autograd.Gradients;
import ai.nibble.cuda.ElementwiseKernels;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Ops;
import ai.nibble.tensor.Parallel;
import ai.nibble.tensor.Rows;
import ai.nibble.tensor.Scope;
import ai.nibble.tensor.Tensor;

/**
 * Rows of the embedding table, {@code [N, hidden]} in the compute dtype; no inputs on the tape.
 * Backward adds each row's gradient to its token's, in the order of the positions.
 *
 * <p>With a low-rank update, {@code y = E[ids] + h·Bᵀ} of {@code h = s·A[:, ids]ᵀ}; {@code dB =
 * dyᵀ·h}, and each row of {@code s·dy·B} is added to its token's column of A.
 */
public final class Embedding extends Function {
  private static final int TOKENS_A_RANGE = 64;

  private final TokenEmbedding embedding;
  private final DenseWeight table;
  private final LowRank update;
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

  /** A table without an update. */
  public Embedding(DenseWeight table, int[] ids, Pass pass, Precision precision, double scale) {
    this(new TokenEmbedding("", table, -1), ids, pass, precision, scale);
  }

  /**
   * @param embedding with its table {@code [vocabulary, hidden]}
   * @param ids below the vocabulary's size
   * @param pass of these tokens, in which they may get noise
   * @param scale that rows are multiplied by, itself rounded to the compute dtype
   */
  public Embedding(
      TokenEmbedding embedding, int[] ids, Pass pass, Precision precision, double scale) {
    this.embedding = embedding;
    this.table = embedding.weight();
    this.update = embedding.adapter().orElse(null);
    this.ids = ids.clone();
    this.pass = pass;
    this.precision = precision;
    float[] rounded = {(float) scale};
    precision.compute().round(rounded, 0, 1);
    this.scale = rounded[0];
  }

  /**
   * What looking up all tokens holds: ids and, while they are converted, rows of the table. Of
   * trained rows it is not known how many tokens are theirs: all, it is said.
   */
  public static Footprint footprint(Extent e, int hidden, int vocabulary, TableShape table) {
    long n = e.tokens();
    long converted = table.held() == e.precision().compute() ? 0 : e.bytes(table.held(), n, hidden);
    long index = e.bytes(DType.INT64, n);
    Footprint f = Footprint.of(e.compute(n, hidden));
    if (table.rows() > 0) {
      long found = e.compute(n, hidden) + e.bytes(DType.FLOAT32, n, hidden);
      f = f.inBackward(index + found + e.bytes(DType.FLOAT32, n, table.rows()), 0, 0);
    }
    if (table.rank() == 0) {
      return f.inForward(index + converted);
    }
    int r = table.rank();
    long columns = index + e.bytes(DType.FLOAT32, r, n);
    long sum = e.precision().widens() ? e.product(n, hidden) : 0;
    long forward = e.product(n, r) + Math.max(columns, e.product(hidden, r) + sum);
    return f.inForward(index + converted + forward)
        .inBackward(updating(e, hidden, vocabulary, r), 0, 0);
  }

  /** The most that {@link #addToUpdate} holds: at its end, when A's gradients lie by token. */
  private static long updating(Extent e, int hidden, int vocabulary, int r) {
    long n = e.tokens();
    boolean exact = e.precision().compute() == DType.FLOAT32;
    boolean wide = e.precision().product() == DType.FLOAT32;
    long gradients = exact ? 0 : e.bytes(DType.FLOAT32, n, hidden);
    long h = e.bytes(DType.FLOAT32, n, r);
    long up = e.product(hidden, r);
    long byToken = e.bytes(DType.FLOAT32, vocabulary, r);
    return gradients + h + up + e.product(n, r) + byToken + Math.max(wide ? 0 : h, byToken);
  }

  @Override
  protected boolean hasParameters() {
    return table.parameter().isPresent() || table.trainedRows().isPresent() || update != null;
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
    table.takeRows();
    Tensor weight = table.tensor();
    Tensor rows = Tensor.empty(weight.device(), weight.dtype(), ids.length, weight.size(1));
    try (Tensor index = Tensor.ofIndices(weight.device(), ids)) {
      Ops.indexSelect(rows, weight, index);
      if (rows.dtype() == precision.compute()) {
        return scaled(updated(rows));
      }
      try (rows) {
        return scaled(updated(rows.to(precision.compute())));
      }
    } catch (RuntimeException e) {
      rows.close();
      throw e;
    }
  }

  /** Adds the low-rank update's part to rows, in the product's dtype. */
  private Tensor updated(Tensor rows) {
    if (update == null) {
      return rows;
    }
    DType product = precision.product();
    try (Scope scope = new Scope()) {
      Tensor h = scope.own(TokenEmbedding.gathered(update, ids, update.scaling(), product));
      Tensor b = scope.own(update.b().value().to(product));
      Tensor sum = precision.widens() ? scope.own(rows.to(product)) : rows;
      Ops.addmm(sum, h, scope.own(b.t()), 1, 1);
      return sum == rows ? rows : rows.copyFrom(sum);
    } catch (RuntimeException e) {
      rows.close();
      throw e;
    }
  }

  private Tensor scaled(Tensor rows) {
    if (scale != 1 && Kernels.serve(rows)) {
      ElementwiseKernels.scale(rows, scale);
    } else if (scale != 1) {
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
    Tensor dy = gradOutputs[0];
    table.parameter().ifPresent(weight -> addByToken(weight.grad(), dy, scale));
    table.trainedRows().ifPresent(rows -> rows.addLookedUp(ids, embedding::learns, dy, scale));
    if (update != null) {
      addToUpdate(dy);
    }
  }

  private void addToUpdate(Tensor gradOutput) {
    DType product = precision.product();
    Parameter a = update.a();
    Parameter b = update.b();
    double factor = scale * update.scaling();
    try (Scope scope = new Scope()) {
      Tensor h = scope.own(TokenEmbedding.gathered(update, ids, factor, DType.FLOAT32));
      Tensor wide = scope.own(as(gradOutput, DType.FLOAT32));
      Ops.addmm(b.grad(), scope.own(wide.t()), h, 1, 1);
      Tensor dy = product == DType.FLOAT32 ? wide : gradOutput;
      Tensor up = scope.own(scaledUp(b.value(), factor, product));
      Tensor dh = scope.empty(dy.device(), product, ids.length, up.size(1));
      Ops.mm(dh, dy, up);
      Tensor byToken =
          scope.empty(dy.device(), DType.FLOAT32, a.value().size(1), up.size(1)).zero();
      addByToken(byToken, dh, 1);
      a.grad().copyFrom(scope.own(Ops.add(a.grad(), scope.own(byToken.t()), 1)));
    }
  }

  private static Tensor as(Tensor tensor, DType dtype) {
    return tensor.dtype() == dtype ? tensor.share() : tensor.to(dtype);
  }

  private static Tensor scaledUp(Tensor b, double factor, DType dtype) {
    try (Tensor scale = Tensor.of(b.device(), new float[] {(float) factor}, 1);
        Tensor scaled = Tensor.empty(b.device(), DType.FLOAT32, b.shape())) {
      return as(Ops.mul(scaled, b, scale), dtype);
    }
  }

  /**
   * Adds each position's row to its token's.
   *
   * @param grad float32 {@code [vocabulary, width]}
   * @param rows {@code [N, width]}
   */
  private void addByToken(Tensor grad, Tensor rows, double factor) {
    int[] starts = new int[Math.toIntExact(grad.size(0)) + 1];
    int[] positions = positionsByToken(starts);
    if (Kernels.serve(grad)) {
      try (Tensor sorted = Tensor.ofInts(grad.device(), positions);
          Tensor firsts = Tensor.ofInts(grad.device(), starts)) {
        ElementwiseKernels.embeddingGradient(grad, rows, sorted, firsts, factor);
      }
      return;
    }
    boolean wide = rows.dtype() == DType.FLOAT32;
    try (Tensor dy = wide ? rows.share() : rows.to(DType.FLOAT32)) {
      Parallel.forRanges(
          grad.size(0),
          TOKENS_A_RANGE,
          (begin, end) -> {
            if (starts[(int) begin] < starts[(int) end]) {
              addRows(grad, dy, (float) factor, starts, positions, (int) begin, (int) end);
            }
          });
    }
  }

  /** Adds to the gradients of tokens {@code [begin, end)}. */
  private static void addRows(
      Tensor grad, Tensor dy, float factor, int[] starts, int[] positions, int begin, int end) {
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
            sum[c] += factor * row[c];
          }
        }
        sums.store(token, sum);
      }
    }
  }

  /**
   * Positions sorted by their token, ascending within a token (a counting sort); those of tokens
   * that do not learn are left out, and nothing stands in their places at the end.
   *
   * @param starts zeros, {@code [vocabulary + 1]}; takes where each token's positions begin
   */
  private int[] positionsByToken(int[] starts) {
    for (int id : ids) {
      starts[id + 1] += embedding.learns(id) ? 1 : 0;
    }
    for (int token = 1; token < starts.length; token++) {
      starts[token] += starts[token - 1];
    }
    int[] next = starts.clone();
    int[] positions = new int[ids.length];
    for (int p = 0; p < ids.length; p++) {
      if (embedding.learns(ids[p])) {
        positions[next[ids[p]]++] = p;
      }
    }
    return positions;
  }
}
