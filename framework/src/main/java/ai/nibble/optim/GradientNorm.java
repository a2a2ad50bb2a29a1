package ai.nibble.optim;

import java.nio.FloatBuffer;

/**
 * The global L2 norm of all gradients, and clipping by it.
 *
 * <p>Source: {@code torch.nn.utils.clip_grad_norm_} with the default norm. Squares are summed in
 * double precision, in an order that depends on the buffer's length alone.
 */
public final class GradientNorm {
  private GradientNorm() {}

  /** √Σg² over the whole buffer; NaN or infinite if a gradient is. */
  public static double of(FloatBuffer grads) {
    return Math.sqrt(FlatFloats.sumOfSquares(grads));
  }

  /**
   * Scales the gradients in place so that their norm is at most {@code maxNorm}.
   *
   * <p>The factor is {@link #coefficient}; a norm that is NaN or infinite makes it NaN or zero, as
   * in PyTorch, so a caller that wants to skip such a step asks {@link #of} first.
   *
   * @param maxNorm above 0
   * @return the norm before clipping
   */
  public static double clip(FloatBuffer grads, double maxNorm) {
    double norm = of(grads);
    scale(grads, norm, maxNorm);
    return norm;
  }

  /** Scales gradients of this norm, or a part of them, so that it is at most {@code maxNorm}. */
  static void scale(FloatBuffer grads, double norm, double maxNorm) {
    float coefficient = coefficient(norm, maxNorm);
    if (coefficient != 1) {
      FlatFloats.scale(grads, coefficient);
    }
  }

  /**
   * {@code min(1, maxNorm / (norm + 1e-6))} in float32, a reciprocal and a product as PyTorch
   * divides a number by a tensor.
   *
   * @param norm at least 0
   * @param maxNorm above 0
   */
  public static float coefficient(double norm, double maxNorm) {
    if (!(maxNorm > 0)) {
      throw new IllegalArgumentException("max_grad_norm is " + maxNorm + ", expected above 0");
    }
    return Math.min(1, 1 / ((float) norm + 1e-6f) * (float) maxNorm);
  }
}
