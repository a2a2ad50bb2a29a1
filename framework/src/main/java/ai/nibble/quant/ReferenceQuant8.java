package ai.nibble.quant;

import ai.nibble.tensor.Float16;

/**
 * LLM.int8() written for reading: one element at a time, on heap arrays. The fast paths must give
 * these bits exactly. Source: bitsandbytes 0.50, {@code csrc/kernels.cu}.
 */
final class ReferenceQuant8 {
  /** 1 / 127², as bitsandbytes' kernel writes it. */
  static final float RECOVERY = 6.200012e-05f;

  private ReferenceQuant8() {}

  /**
   * @param codes {@code [rows, columns]}
   * @param absmax one a row
   * @param outliers columns left out
   */
  record Rows(byte[] codes, float[] absmax, boolean[] outliers) {}

  /** A weight's codes: its values are rounded to float16 first. */
  static Rows weight(float[] values, int columns) {
    float[] halves = new float[values.length];
    for (int i = 0; i < values.length; i++) {
      halves[i] = Float16.toFloat(Float16.of(values[i]));
    }
    return rows(halves, columns, 0);
  }

  /** Activations: what reaches the threshold does not count for absmax, and its column is zero. */
  static Rows rows(float[] values, int columns, float threshold) {
    boolean[] outliers = new boolean[columns];
    float[] absmax = new float[values.length / columns];
    for (int i = 0; i < values.length; i++) {
      if (threshold > 0 && Math.abs(values[i]) >= threshold) {
        outliers[i % columns] = true;
      } else {
        absmax[i / columns] = Math.max(absmax[i / columns], Math.abs(values[i]));
      }
    }
    byte[] codes = new byte[values.length];
    for (int i = 0; i < values.length; i++) {
      float max = absmax[i / columns];
      if (!outliers[i % columns]) {
        codes[i] = (byte) Math.rint(values[i] * scale(max));
      }
    }
    return new Rows(codes, absmax, outliers);
  }

  /**
   * What a row is multiplied by: 127 times the reciprocal, as PyTorch computes 127 / absmax. A row
   * so small that this overflows is a row of zeros.
   */
  static float scale(float absmax) {
    return absmax < 1e-36f ? 0 : 1 / absmax * 127;
  }

  /** The float32 value of a weight's code. */
  static float value(byte code, float absmax) {
    return code * absmax / 127f;
  }

  /** {@code x·Wᵀ} of the columns that are no outliers, float32 {@code [x rows, w rows]}. */
  static float[] product(Rows x, Rows w, int columns) {
    int out = w.absmax.length;
    float[] y = new float[x.absmax.length * out];
    for (int i = 0; i < y.length; i++) {
      int sum = 0;
      for (int k = 0; k < columns; k++) {
        sum += x.codes[i / out * columns + k] * w.codes[i % out * columns + k];
      }
      y[i] = sum * RECOVERY * x.absmax[i / out] * w.absmax[i % out];
    }
    return y;
  }
}
