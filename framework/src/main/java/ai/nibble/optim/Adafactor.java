package ai.nibble.optim;

import java.nio.FloatBuffer;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Adafactor (Shazeer and Stern 2018) with a given learning rate and no first moment, as
 * transformers' {@code Adafactor(scale_parameter=False, relative_step=False)}: of a matrix's second
 * moment only the means of rows and columns are kept, {@code R + C} values instead of {@code R·C}.
 *
 * <p>With {@code β = 1 − t^−0.8} and {@code u = g² + 1e-30}: rows {@code r ← βr + (1−β)·mean(u)},
 * columns {@code c} likewise, {@code v = r·c / mean(r)}; step {@code s = g/√v}, divided by {@code
 * max(1, rms(s))}; {@code p ← p·(1 − lr·λ) − lr·s}. A vector keeps its second moment whole.
 */
public final class Adafactor extends SlotOptimizer {
  private static final double EPS = 1e-30;
  private static final double DECAY_EXPONENT = -0.8;

  private final float[][] rows;
  private final float[][] columns;

  Adafactor(List<ParameterSlot> slots) {
    super(slots);
    rows = new float[slots.size()][];
    columns = new float[slots.size()][];
    for (int k = 0; k < rows.length; k++) {
      ParameterSlot slot = slots.get(k);
      if (isMatrix(slot)) {
        int width = width(slot);
        rows[k] = new float[slot.elements() / width];
        columns[k] = new float[width];
      } else {
        rows[k] = new float[slot.elements()];
      }
    }
  }

  private static boolean isMatrix(ParameterSlot slot) {
    return slot.shape().length == 2;
  }

  private static int width(ParameterSlot slot) {
    return Math.toIntExact(slot.shape()[1]);
  }

  @Override
  void update(int index, float[] params, float[] grads, double lr, long step) {
    ParameterSlot slot = slots().get(index);
    double beta = 1 - StrictMath.pow(step, DECAY_EXPONENT);
    float[] direction = new float[grads.length];
    if (isMatrix(slot)) {
      factored(rows[index], columns[index], grads, direction, beta);
    } else {
      float[] v = rows[index];
      for (int i = 0; i < grads.length; i++) {
        v[i] = (float) (beta * v[i] + (1 - beta) * (squared(grads[i])));
        direction[i] = (float) (grads[i] / Math.sqrt(v[i]));
      }
    }
    double sum = 0;
    for (float d : direction) {
      sum += (double) d * d;
    }
    float rate = (float) (lr / Math.max(1, Math.sqrt(sum / direction.length)));
    float keep = (float) (1 - lr * slot.range().weightDecay());
    for (int i = 0; i < params.length; i++) {
      params[i] = params[i] * keep - rate * direction[i];
    }
  }

  private static double squared(float grad) {
    return (double) grad * grad + EPS;
  }

  private static void factored(
      float[] rows, float[] columns, float[] grads, float[] direction, double beta) {
    int width = columns.length;
    double[] columnSums = new double[width];
    double rowMean = 0;
    for (int r = 0; r < rows.length; r++) {
      double sum = 0;
      for (int c = 0; c < width; c++) {
        double u = squared(grads[r * width + c]);
        sum += u;
        columnSums[c] += u;
      }
      rows[r] = (float) (beta * rows[r] + (1 - beta) * (sum / width));
      rowMean += rows[r];
    }
    rowMean /= rows.length;
    double[] columnFactor = new double[width];
    for (int c = 0; c < width; c++) {
      columns[c] = (float) (beta * columns[c] + (1 - beta) * (columnSums[c] / rows.length));
      columnFactor[c] = 1 / Math.sqrt(columns[c]);
    }
    for (int r = 0; r < rows.length; r++) {
      double rowFactor = 1 / Math.sqrt(rows[r] / rowMean);
      for (int c = 0; c < width; c++) {
        direction[r * width + c] = (float) (rowFactor * columnFactor[c] * grads[r * width + c]);
      }
    }
  }

  @Override
  public OptimizerState state() {
    Map<String, FloatBuffer> vectors = new LinkedHashMap<>();
    for (int k = 0; k < rows.length; k++) {
      String name = slots().get(k).name();
      if (columns[k] == null) {
        vectors.put("exp_avg_sq/" + name, FloatBuffer.wrap(rows[k]));
      } else {
        vectors.put("exp_avg_sq_row/" + name, FloatBuffer.wrap(rows[k]));
        vectors.put("exp_avg_sq_col/" + name, FloatBuffer.wrap(columns[k]));
      }
    }
    return new OptimizerState(steps(), Map.of(), vectors);
  }

  @Override
  void copyIn(OptimizerState saved) {
    state().vectors().forEach((name, into) -> FlatFloats.copy(into, saved.vectors().get(name)));
  }
}
