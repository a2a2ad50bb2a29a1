package ai.nibble.nn;

import ai.nibble.tensor.DType;
import ai.nibble.tensor.Ops;
import ai.nibble.tensor.Tensor;

/**
 * A soft cap on logits, {@code cap·tanh(l/cap)} (Bello et al. 2016; Gemma 2).
 *
 * @param cap above 0, or {@link #NONE}: logits stay as they are
 */
public record LogitCap(double cap) {
  public static final double NONE = 0;

  public boolean isNone() {
    return cap == NONE;
  }

  /** Caps float32 logits in place, if there is a cap. */
  public void apply(Tensor logits) {
    if (!isNone()) {
      scale(tanh(logits), cap);
    }
  }

  /** Turns float32 logits into {@code tanh(l/cap)} in place; returns them. */
  Tensor tanh(Tensor logits) {
    scale(logits, 1 / cap);
    return Ops.tanh(logits, logits);
  }

  /** Multiplies by the cap into another tensor. */
  void timesCap(Tensor to, Tensor tanh) {
    multiply(to, tanh, cap);
  }

  private static void scale(Tensor values, double factor) {
    multiply(values, values, factor);
  }

  private static void multiply(Tensor to, Tensor values, double factor) {
    if (values.dtype() != DType.FLOAT32) {
      throw new IllegalArgumentException("logits are capped in float32, got " + values);
    }
    try (Tensor scalar = Tensor.of(values.device(), new float[] {(float) factor}, 1)) {
      Ops.mul(to, values, scalar);
    }
  }
}
