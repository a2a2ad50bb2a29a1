package ai.nibble.quant;

/** IEEE 754 binary16, to and from float32; JDK 17 has no conversions of its own. */
final class Float16 {
  private Float16() {}

  /** float32 bits of a binary16 number, exact; infinities and NaN stay what they are. */
  static int toFloatBits(short half) {
    int sign = (half & 0x8000) << 16;
    int magnitude = half & 0x7FFF;
    if (magnitude >= 0x7C00) {
      return sign | 0x7F800000 | (magnitude & 0x3FF) << 13;
    }
    // The exponent moves by 127 − 15; as a product it normalises subnormals too.
    return sign | Float.floatToRawIntBits(Float.intBitsToFloat(magnitude << 13) * 0x1p112f);
  }

  /** Nearest binary16 number, ties to even, overflow to infinity, NaN to NaN. */
  static int fromFloat(float value) {
    int bits = Float.floatToRawIntBits(value);
    int sign = bits >>> 16 & 0x8000;
    int magnitude = bits & 0x7FFFFFFF;
    if (magnitude > 0x7F800000) {
      return sign | 0x7E00;
    }
    if (magnitude >= 0x477FF000) {
      return sign | 0x7C00; // 65520, half way from the largest binary16 to the next, or beyond
    }
    if (magnitude < 0x38800000) {
      // Below 2⁻¹⁴ a unit is 2⁻²⁴, as it is of float32 numbers in [0.5, 1): let the sum round.
      float sum = Float.intBitsToFloat(magnitude) + 0.5f;
      return sign | (Float.floatToRawIntBits(sum) - 0x3F000000);
    }
    int rounded = magnitude + 0xFFF + (magnitude >>> 13 & 1);
    return sign | (rounded - (112 << 23) >>> 13);
  }
}
