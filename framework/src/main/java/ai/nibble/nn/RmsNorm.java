package ai.nibble.nn;

import ai.nibble.autograd.Function;
import ai.nibble.autograd.Gradients;
import ai.nibble.autograd.Tape;
import ai.nibble.autograd.Variable;
import ai.nibble.cuda.NormRule;
import ai.nibble.cuda.RmsNormKernels;
import ai.nibble.nn.vector.Norm512;
import ai.nibble.nn.vector.Pairs512;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Parallel;
import ai.nibble.tensor.Rows;
import ai.nibble.tensor.Tensor;
import java.util.Arrays;

/**
 * Root-mean-square normalisation {@code y = w ⊙ x / √(mean(x²) + eps)} over the last dimension
 * (Zhang and Sennrich 2019). Statistics are float32; how the weight meets the normalised value is
 * the {@link NormScale}'s, by default Llama's.
 */
public final class RmsNorm implements AutoCloseable {
  /** Fewer rows are not worth the second that HotSpot takes to compile loops over registers. */
  private static final int MIN_PAIR_ROWS = 256;

  private final Tensor weight;
  private final float eps;
  private final NormScale scale;
  private final Parameter parameter;
  private final float[] frozen;

  /** As {@link #RmsNorm(Tensor, double, NormScale)} as Llama has it. */
  public RmsNorm(Tensor weight, double eps) {
    this(weight, eps, NormScale.ROUNDED);
  }

  /**
   * @param weight {@code [hidden]}, taken over
   * @param eps added to the mean square
   */
  public RmsNorm(Tensor weight, double eps, NormScale scale) {
    this.weight = weight;
    this.eps = (float) eps;
    this.scale = scale;
    this.parameter = null;
    this.frozen = Kernels.serve(weight) ? null : scale.factors(weight.toFloats());
  }

  /** A norm whose weight is trained, as Llama has it. */
  public RmsNorm(Parameter parameter, double eps) {
    this(parameter, eps, NormScale.ROUNDED);
  }

  /**
   * A norm whose weight is trained.
   *
   * @param parameter {@code [hidden]}, which stays its set's
   */
  public RmsNorm(Parameter parameter, double eps, NormScale scale) {
    this.weight = parameter.value().share();
    this.eps = (float) eps;
    this.scale = scale;
    this.parameter = parameter;
    this.frozen = null;
  }

  /** Normalises rows of {@code [N, hidden]}, float32 or bfloat16. */
  public Variable apply(Tape tape, Variable x) {
    return apply(tape, x, 0);
  }

  /**
   * As {@link #apply(Tape, Variable)}, with room in the result for the next function. Its gradient
   * may have such rows too.
   *
   * @param room columns of zeros behind each row; 0 unless kernels compute it
   */
  public Variable apply(Tape tape, Variable x, int room) {
    return tape.apply(new Normalize(room), x);
  }

  /**
   * What normalising rows holds: its output, and for backward its input. The gradient of a trained
   * weight, which comes first, has two windows wherever rows are gone over.
   *
   * @param room as in {@link #apply(Tape, Variable, int)}
   */
  public static Footprint footprint(Extent extent, long rows, int hidden, int room) {
    boolean lie = rows >= MIN_PAIR_ROWS && extent.inRegisters(hidden);
    return Footprint.of(extent.compute(rows, hidden + room))
        .savingInput(0)
        .inForward(lie ? 0 : extent.windows(2, rows, hidden))
        .inBackward(
            extent.windows(2, rows, hidden),
            lie ? 0 : extent.windows(4, rows, hidden),
            extent.compute(rows, hidden));
  }

  @Override
  public void close() {
    weight.close();
  }

  /** {@code Σ a·b} in eight chains, so that additions need not wait for each other. */
  private static float dot(float[] a, float[] b) {
    float s0 = 0;
    float s1 = 0;
    float s2 = 0;
    float s3 = 0;
    float s4 = 0;
    float s5 = 0;
    float s6 = 0;
    float s7 = 0;
    int i = 0;
    for (; i + 7 < a.length; i += 8) {
      s0 += a[i] * b[i];
      s1 += a[i + 1] * b[i + 1];
      s2 += a[i + 2] * b[i + 2];
      s3 += a[i + 3] * b[i + 3];
      s4 += a[i + 4] * b[i + 4];
      s5 += a[i + 5] * b[i + 5];
      s6 += a[i + 6] * b[i + 6];
      s7 += a[i + 7] * b[i + 7];
    }
    for (; i < a.length; i++) {
      s0 += a[i] * b[i];
    }
    return ((s0 + s1) + (s2 + s3)) + ((s4 + s5) + (s6 + s7));
  }

  private static float inverseRms(float[] row, float eps) {
    return (float) (1 / Math.sqrt(dot(row, row) / row.length + eps));
  }

  /** Whether kernels compute it. */
  boolean byKernels() {
    return Kernels.serve(weight);
  }

  int width() {
    return (int) weight.numel();
  }

  Tensor weight() {
    return weight;
  }

  /** How kernels compute it. */
  NormRule rule() {
    return scale.rule(eps);
  }

  boolean isTrained() {
    return parameter != null;
  }

  /** Normalises one row in place, as {@link #apply} does rows of a dtype. */
  void normalize(float[] row, DType dtype) {
    row(dtype).normalize(row);
    dtype.round(row, 0, row.length);
  }

  /** What is done to a row of a dtype, with the weight as it is now. */
  Row row(DType dtype) {
    float[] factors = frozen != null ? frozen : scale.factors(weight.toFloats());
    return new Row(factors, eps, normedDtype(dtype));
  }

  /** What the normalised value is rounded to before it meets the weight, in rows of a dtype. */
  private DType normedDtype(DType dtype) {
    return scale == NormScale.ROUNDED ? dtype : DType.FLOAT32;
  }

  /**
   * The normalisation of one row.
   *
   * @param scale what is multiplied by
   * @param dtype that the normalised value is rounded to before it meets the weight
   */
  record Row(float[] scale, float eps, DType dtype) {
    /** Normalises in place; the result is not rounded. */
    void normalize(float[] row) {
      float inverse = inverseRms(row, eps);
      for (int c = 0; c < row.length; c++) {
        row[c] *= inverse;
      }
      dtype.round(row, 0, row.length);
      for (int c = 0; c < row.length; c++) {
        row[c] *= scale[c];
      }
    }

    /** Normalises rows that {@link PairRows} serve. */
    void normalize(Tensor x, Tensor y) {
      float[] split = Pairs512.split(scale);
      Parallel.forRanges(
          x.size(0),
          Rows.grain(scale.length),
          (begin, end) ->
              Norm512.normalize(
                  PairRows.window(x, begin, end),
                  PairRows.window(y, begin, end),
                  (int) (end - begin),
                  scale.length,
                  split,
                  eps,
                  dtype == DType.BFLOAT16));
    }

    /**
     * The gradient by rows that {@link PairRows} serve, as {@link #addGradient} has it.
     *
     * @param before is added to; null for none
     */
    void gradient(Tensor dy, Tensor x, Tensor before, Tensor dx) {
      float[] split = Pairs512.split(scale);
      Parallel.forRanges(
          dy.size(0),
          Rows.grain(scale.length),
          (begin, end) ->
              Norm512.gradient(
                  PairRows.window(dy, begin, end),
                  PairRows.window(x, begin, end),
                  PairRows.window(before, begin, end),
                  PairRows.window(dx, begin, end),
                  (int) (end - begin),
                  scale.length,
                  split,
                  eps));
    }

    /**
     * Adds the gradient by the row, {@code i·(w⊙g) − x·i³/H·Σ(w⊙g⊙x)}, i the inverse root of the
     * mean square.
     *
     * @param g of the result, overwritten
     * @param v what was normalised
     */
    void addGradient(float[] g, float[] v, float[] sum) {
      float inverse = inverseRms(v, eps);
      for (int c = 0; c < g.length; c++) {
        g[c] *= scale[c];
      }
      float back = inverse * inverse * inverse * dot(g, v) / g.length;
      for (int c = 0; c < g.length; c++) {
        sum[c] += inverse * g[c] - back * v[c];
      }
    }
  }

  /**
   * Adds the gradient by the trained weight, {@code dw = Σ dy ⊙ x·i}, over the rows.
   *
   * @param x what was normalised
   */
  void accumulate(Tensor dy, Tensor x) {
    if (Kernels.serve(weight)) {
      try (Tensor rows = dy.isContiguous() ? dy.share() : dy.to(dy.dtype())) {
        RmsNormKernels.weightGradient(parameter.grad(), rows, x, rule());
      }
      return;
    }
    int width = width();
    DType normed = normedDtype(x.dtype());
    ColumnSums sums = new ColumnSums(dy.size(0), Rows.grain(width), width);
    Parallel.forRanges(
        dy.size(0),
        Rows.grain(width),
        (begin, end) -> {
          try (Rows grads = Rows.reading(dy, begin, end);
              Rows values = Rows.reading(x, begin, end)) {
            float[] sum = sums.of(begin);
            float[] g = new float[width];
            float[] v = new float[width];
            for (long r = begin; r < end; r++) {
              grads.load(r, g);
              values.load(r, v);
              float inverse = inverseRms(v, eps);
              for (int c = 0; c < g.length; c++) {
                v[c] *= inverse;
              }
              normed.round(v, 0, width);
              for (int c = 0; c < g.length; c++) {
                sum[c] += g[c] * v[c];
              }
            }
          }
        });
    sums.addTo(parameter.grad());
  }

  private final class Normalize extends Function {
    private final boolean kernels = byKernels();
    private final int room;
    private Tensor x;

    private Normalize(int room) {
      this.room = room;
    }

    @Override
    protected boolean hasParameters() {
      return parameter != null;
    }

    @Override
    protected Tensor[] forward(Tensor[] inputs) {
      Tensor input = inputs[0];
      x = save(input);
      long n = input.size(0);
      long width = input.size(1);
      Tensor y = Tensor.emptyRows(input.device(), input.dtype(), n, width, width + room);
      if (kernels) {
        RmsNormKernels.forward(y, input, weight, rule());
        return new Tensor[] {y};
      }
      Row rule = row(input.dtype());
      if (n >= MIN_PAIR_ROWS && PairRows.serve(width, input, y)) {
        rule.normalize(input, y);
        return new Tensor[] {y};
      }
      Parallel.forRanges(
          input.size(0),
          Rows.grain(width()),
          (begin, end) -> {
            try (Rows from = Rows.reading(input, begin, end);
                Rows to = Rows.writing(y, begin, end)) {
              float[] row = new float[width()];
              for (long r = begin; r < end; r++) {
                from.load(r, row);
                rule.normalize(row);
                to.store(r, row);
              }
            }
          });
      return new Tensor[] {y};
    }

    @Override
    protected void backward(Tensor[] gradOutputs, Gradients gradients) {
      Tensor dy = gradOutputs[0];
      if (parameter != null) {
        accumulate(dy, x);
      }
      try (Tensor before = gradients.take(0)) {
        Tensor dx = Tensor.empty(dy.device(), dy.dtype(), dy.shape());
        if (kernels) {
          RmsNormKernels.backward(dx, dy, x, weight, before, rule());
          gradients.add(0, dx);
          return;
        }
        Row rule = row(x.dtype());
        if (dy.size(0) >= MIN_PAIR_ROWS && PairRows.serve(width(), dy, x, before, dx)) {
          rule.gradient(dy, x, before, dx);
          gradients.add(0, dx);
          return;
        }
        Parallel.forRanges(
            dy.size(0),
            Rows.grain(width()),
            (begin, end) -> {
              try (Rows grads = Rows.reading(dy, begin, end);
                  Rows values = Rows.reading(x, begin, end);
                  Rows prior = before == null ? null : Rows.reading(before, begin, end);
                  Rows to = Rows.writing(dx, begin, end)) {
                float[] g = new float[width()];
                float[] v = new float[width()];
                float[] sum = new float[width()];
                for (long r = begin; r < end; r++) {
                  grads.load(r, g);
                  values.load(r, v);
                  if (prior != null) {
                    prior.load(r, sum);
                  }
                  rule.addGradient(g, v, sum);
                  to.store(r, sum);
                  if (prior == null) {
                    Arrays.fill(sum, 0);
                  }
                }
              }
            });
        gradients.add(0, dx);
      }
    }
  }
}
