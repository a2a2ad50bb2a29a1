package ai.nibble.quant;

import static org.junit.jupiter.api.Assertions.assertEquals;

import ai.nibble.tensor.DType;
import ai.nibble.tensor.Tensor;
import java.util.Random;
import org.junit.jupiter.api.Test;

/** Against libtorch's conversions. */
class Float16Test {
  @Test
  void everyFloat16BecomesTheSameFloat32() {
    try (Tensor halves = Tensor.empty(DType.FLOAT16, 65536)) {
      for (int h = 0; h < 65536; h++) {
        halves.bytes(2 * h, 2).putShort(0, (short) h);
      }
      float[] expected = halves.toFloats();
      for (int h = 0; h < 65536; h++) {
        float actual = Float.intBitsToFloat(Float16.toFloatBits((short) h));
        assertEquals(expected[h], actual, "half " + h); // NaN equals NaN here, −0 does not equal 0
      }
    }
  }

  @Test
  void float32RoundsToTheSameFloat16() {
    Random random = new Random(1);
    int n = 400_000;
    float[] values = new float[n];
    for (int k = 0; k < n; k++) {
      float half = Float.intBitsToFloat(Float16.toFloatBits((short) random.nextInt(65536)));
      values[k] =
          switch (k % 5) {
            case 0 -> Float.intBitsToFloat(random.nextInt());
            case 1 -> (float) random.nextGaussian();
            case 2 -> half * (1 + 0x1p-11f); // ties and near ties
            case 3 -> half * (1 + random.nextInt(-4, 5) * 0x1p-13f);
            default -> random.nextInt() * 0x1p-56f; // about the subnormals
          };
      if (Float.isNaN(values[k])) {
        values[k] = 0;
      }
    }
    byte[] halves = rounded(values, DType.FLOAT16);
    for (int k = 0; k < n; k++) {
      assertEquals(at(halves, k), Float16.fromFloat(values[k]), "float16 of " + values[k]);
    }
    assertEquals(0x7E00, Float16.fromFloat(Float.NaN));
  }

  private static byte[] rounded(float[] values, DType dtype) {
    try (Tensor tensor = Bits.tensor(values, dtype, values.length)) {
      return Bits.of(tensor);
    }
  }

  private static int at(byte[] bytes, int k) {
    return bytes[2 * k] & 0xFF | (bytes[2 * k + 1] & 0xFF) << 8;
  }
}
