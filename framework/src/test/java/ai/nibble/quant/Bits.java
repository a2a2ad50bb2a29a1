package ai.nibble.quant;

import ai.nibble.tensor.DType;
import ai.nibble.tensor.Tensor;
import java.util.Random;

/** Raw bytes of tensors, and weights that try the corners of quantisation. */
final class Bits {
  private Bits() {}

  static byte[] of(Tensor tensor) {
    byte[] bytes = new byte[Math.toIntExact(tensor.byteSize())];
    tensor.bytes(0, bytes.length).get(bytes);
    return bytes;
  }

  /** The values as a tensor of that dtype: libtorch rounds. */
  static Tensor tensor(float[] values, DType dtype, long... shape) {
    try (Tensor floats = Tensor.of(values, shape)) {
      return floats.to(dtype);
    }
  }

  /**
   * Normal values with, by block of 32, stretches of zeros, outliers, signed zeros, subnormals,
   * large and tiny magnitudes, ties of both types' thresholds, and constants.
   */
  static float[] corners(int n, long seed) {
    Random random = new Random(seed);
    float[] values = new float[n];
    for (int begin = 0; begin < n; begin += 32) {
      int kind = random.nextInt(10);
      Quant4Type type = random.nextBoolean() ? Quant4Type.NF4 : Quant4Type.FP4;
      float constant = (float) random.nextGaussian();
      for (int k = begin; k < Math.min(n, begin + 32); k++) {
        float normal = (float) random.nextGaussian();
        values[k] =
            switch (kind) {
              case 0 -> random.nextBoolean() ? 0f : -0f;
              case 1 -> random.nextInt(16) == 0 ? 1000 * normal : 0.02f * normal;
              case 2 -> Float.intBitsToFloat(random.nextInt(0x00800000));
              case 3 -> normal * 1e-38f;
              case 4 -> normal * 3e4f;
              case 5 -> k == begin ? 1f : type.thresholds()[random.nextInt(15)];
              case 6 -> constant;
              case 7 -> k == begin ? -2f : random.nextInt(-128, 129) / 64f;
              default -> 0.02f * normal;
            };
      }
    }
    return values;
  }
}
