package ai.nibble.nn;

import ai.nibble.autograd.Function;
import ai.nibble.autograd.Gradients;
import ai.nibble.autograd.Tape;
import ai.nibble.autograd.Variable;
import ai.nibble.tensor.Bfloat16;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Parallel;
import ai.nibble.tensor.Rows;
import ai.nibble.tensor.Tensor;
import java.util.Arrays;

/**
 * Root-mean-square normalisation {@code y = w ⊙ x / √(mean(x²) + eps)} over the last dimension
 * (Zhang and Sennrich 2019). Statistics are float32; with bfloat16 the normalised value is rounded
 * before it meets the weight, as in transformers' Llama.
 */
public final class RmsNorm implements AutoCloseable {
  private static final int ROWS_A_RANGE = 64;

  private final Tensor weight;
  private final float eps;
  private final Parameter parameter;
  private final float[] frozen;

  /**
   * @param weight {@code [hidden]}, taken over
   * @param eps added to the mean square
   */
  public RmsNorm(Tensor weight, double eps) {
    this.weight = weight;
    this.eps = (float) eps;
    this.parameter = null;
    this.frozen = weight.toFloats();
  }

  /**
   * A norm whose weight is trained.
   *
   * @param parameter {@code [hidden]}, which stays its set's
   */
  public RmsNorm(Parameter parameter, double eps) {
    this.weight = parameter.value().share();
    this.eps = (float) eps;
    this.parameter = parameter;
    this.frozen = null;
  }

  /** Normalises rows of {@code [N, hidden]}, float32 or bfloat16. */
  public Variable apply(Tape tape, Variable x) {
    return tape.apply(new Normalize(), x);
  }

  @Override
  public void close() {
    weight.close();
  }

  /** Sum of squares in four chains, so that additions need not wait for each other. */
  private static float sumOfSquares(float[] row) {
    float s0 = 0;
    float s1 = 0;
    float s2 = 0;
    float s3 = 0;
    int i = 0;
    for (; i + 3 < row.length; i += 4) {
      s0 += row[i] * row[i];
      s1 += row[i + 1] * row[i + 1];
      s2 += row[i + 2] * row[i + 2];
      s3 += row[i + 3] * row[i + 3];
    }
    for (; i < row.length; i++) {
      s0 += row[i] * row[i];
    }
    return (s0 + s1) + (s2 + s3);
  }

  private float inverseRms(float[] row) {
    return (float) (1 / Math.sqrt(sumOfSquares(row) / row.length + eps));
  }

  private final class Normalize extends Function {
    private final float[] scale = frozen != null ? frozen : weight.toFloats();
    private Tensor x;

    @Override
    protected boolean hasParameters() {
      return parameter != null;
    }

    @Override
    protected Tensor[] forward(Tensor[] inputs) {
      Tensor input = inputs[0];
      x = save(input);
      Tensor y = Tensor.empty(input.dtype(), input.shape());
      boolean round = input.dtype() == DType.BFLOAT16;
      Parallel.forRanges(
          input.size(0),
          ROWS_A_RANGE,
          (begin, end) -> {
            Rows from = Rows.of(input, begin, end);
            Rows to = Rows.of(y, begin, end);
            float[] row = new float[scale.length];
            for (long r = begin; r < end; r++) {
              from.load(r, row);
              float inverse = inverseRms(row);
              for (int c = 0; c < row.length; c++) {
                row[c] *= inverse;
              }
              if (round) {
                for (int c = 0; c < row.length; c++) {
                  row[c] = Bfloat16.round(row[c]);
                }
              }
              for (int c = 0; c < row.length; c++) {
                row[c] *= scale[c];
              }
              to.store(r, row);
            }
          });
      return new Tensor[] {y};
    }

    /** {@code dx = i·(w⊙g) − x·i³/H·Σ(w⊙g⊙x)}, i the inverse root of the mean square. */
    @Override
    protected void backward(Tensor[] gradOutputs, Gradients gradients) {
      Tensor dy = gradOutputs[0];
      if (parameter != null) {
        accumulateWeightGradient(dy);
      }
      try (Tensor before = gradients.take(0)) {
        Tensor dx = Tensor.empty(dy.dtype(), dy.shape());
        Parallel.forRanges(
            dy.size(0),
            ROWS_A_RANGE,
            (begin, end) -> {
              Rows grads = Rows.of(dy, begin, end);
              Rows values = Rows.of(x, begin, end);
              Rows prior = before == null ? null : Rows.of(before, begin, end);
              Rows to = Rows.of(dx, begin, end);
              float[] g = new float[scale.length];
              float[] v = new float[scale.length];
              float[] sum = new float[scale.length];
              for (long r = begin; r < end; r++) {
                grads.load(r, g);
                values.load(r, v);
                if (prior != null) {
                  prior.load(r, sum);
                }
                addRowGradient(g, v, sum);
                to.store(r, sum);
                if (prior == null) {
                  Arrays.fill(sum, 0);
                }
              }
            });
        gradients.add(0, dx);
      }
    }

    /** {@code dw = Σ dy ⊙ x·i}, over the rows. */
    private void accumulateWeightGradient(Tensor dy) {
      boolean round = x.dtype() == DType.BFLOAT16;
      ColumnSums sums = new ColumnSums(dy.size(0), ROWS_A_RANGE, scale.length);
      Parallel.forRanges(
          dy.size(0),
          ROWS_A_RANGE,
          (begin, end) -> {
            Rows grads = Rows.of(dy, begin, end);
            Rows values = Rows.of(x, begin, end);
            float[] sum = sums.of(begin);
            float[] g = new float[scale.length];
            float[] v = new float[scale.length];
            for (long r = begin; r < end; r++) {
              grads.load(r, g);
              values.load(r, v);
              float inverse = inverseRms(v);
              for (int c = 0; c < g.length; c++) {
                float normed = v[c] * inverse;
                sum[c] += g[c] * (round ? Bfloat16.round(normed) : normed);
              }
            }
          });
      sums.addTo(parameter.grad());
    }

    private void addRowGradient(float[] g, float[] v, float[] sum) {
      float inverse = inverseRms(v);
      float dot = 0;
      for (int c = 0; c < g.length; c++) {
        g[c] *= scale[c];
        dot += g[c] * v[c];
      }
      float back = inverse * inverse * inverse * dot / g.length;
      for (int c = 0; c < g.length; c++) {
        sum[c] += inverse * g[c] - back * v[c];
      }
    }
  }
}
