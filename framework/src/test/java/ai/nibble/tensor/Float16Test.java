package ai.nibble.tensor;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.nio.ShortBuffer;
import java.util.Random;
import org.junit.jupiter.api.Test;

/** Against libtorch's conversions, and IEEE 754's definition. */
class Float16Test {
  @Test
  void everyFloat16BecomesTheSameFloat32() {
    try (Tensor halves = Tensor.empty(DType.FLOAT16, 65536)) {
      for (int h = 0; h < 65536; h++) {
        halves.bytes(2 * h, 2).putShort(0, (short) h);
      }
      float[] expected = halves.toFloats();
      for (int h = 0; h < 65536; h++) {
        float actual = Float16.toFloat((short) h);
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
      float half = Float16.toFloat((short) random.nextInt(65536));
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
    try (Tensor tensor = Tensor.of(values, n);
        Tensor halves = tensor.to(DType.FLOAT16)) {
      ShortBuffer expected = halves.bytes(0, 2 * n).asShortBuffer();
      for (int k = 0; k < n; k++) {
        assertEquals(expected.get(k), Float16.of(values[k]), "float16 of " + values[k]);
      }
    }
    assertEquals(0x7e00, Float16.of(Float.NaN));
  }

  @Test
  void everyFloat16ConvertsByItsDefinition() {
    for (int h = 0; h < 1 << 16; h++) {
      int exponent = h >> 10 & 31;
      int mantissa = h & 1023;
      float magnitude;
      if (exponent == 31) {
        magnitude = mantissa == 0 ? Float.POSITIVE_INFINITY : Float.NaN;
      } else if (exponent == 0) {
        magnitude = Math.scalb((float) mantissa, -24);
      } else {
        magnitude = Math.scalb(1024f + mantissa, exponent - 25);
      }
      float expected = h >> 15 == 0 ? magnitude : -magnitude;
      assertEquals(expected, Float16.toFloat((short) h), "half " + Integer.toHexString(h));
    }
  }
}
