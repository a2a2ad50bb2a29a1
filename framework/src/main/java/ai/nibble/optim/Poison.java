package ai.nibble.optim;

import ai.nibble.tensor.DType;
import ai.nibble.tensor.Ops;
import ai.nibble.tensor.Tensor;

/**
 * A number on a device that is 0 as long as all numbers that it has met were finite, and NaN ever
 * after.
 */
public final class Poison {
  private Poison() {}

  /**
   * {@code sound += 0 · number}.
   *
   * @param sound float64 {@code [1]}
   * @param number float32 or float64 {@code [1]}, on the same device
   */
  public static void spread(Tensor sound, Tensor number) {
    try (Tensor wide = number.to(DType.FLOAT64);
        Tensor zero = Tensor.empty(sound.device(), DType.FLOAT64, 1).zero()) {
      Ops.mul(wide, wide, zero);
      try (Tensor sum = Ops.add(sound, wide, 1)) {
        sound.copyFrom(sum);
      }
    }
  }
}
