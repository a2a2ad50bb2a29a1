package ai.nibble.nn;

import ai.nibble.tensor.DType;
import ai.nibble.tensor.Device;
import ai.nibble.tensor.Torch;

/**
 * The dtypes of a computation.
 *
 * @param compute dtype of activations and of dequantised weights: every result is rounded to it
 * @param product dtype in which matrix products are done. It differs from {@code compute} only on a
 *     CPU, for float16 and for bfloat16 without instructions for it: operands are widened, which is
 *     exact, and results rounded, as such instructions do inside
 */
public record Precision(DType compute, DType product) {
  public Precision {
    if (compute != DType.FLOAT32 && compute != DType.BFLOAT16 && compute != DType.FLOAT16) {
      throw new IllegalArgumentException(
          "compute dtype is " + compute.torchName() + ", expected float32, bfloat16 or float16");
    }
  }

  /** The fastest way on this CPU to compute in a dtype. */
  public static Precision of(DType compute) {
    return of(compute, Device.CPU);
  }

  /** The fastest way on a device to compute in a dtype. */
  public static Precision of(DType compute, Device device) {
    boolean multiplied =
        switch (compute) {
          case BFLOAT16 -> Torch.multipliesBfloat16();
          case FLOAT16 -> false;
          default -> true;
        };
    return new Precision(compute, device.isCpu() && !multiplied ? DType.FLOAT32 : compute);
  }

  /** Whether operands of products are widened first. */
  public boolean widens() {
    return compute != product;
  }
}
