package ai.nibble.tensor;

/** IEEE 754 binary16, here as its 16 bits; JDK 17 has no conversions of its own. */
public final class Float16 {
  private Float16() {}

  /**
   * The same number as a float32; a NaN keeps its bits. Shifting exponent and mantissa into
   * float32's place leaves a number 2^112 too small, normal or not, so one exact product mends
   * both; only the largest exponent (infinity, NaN) needs its bits put back.
   */
  public static float toFloat(short bits) {
    int magnitude = (bits & 0x7fff) << 13;
    int widened =
        magnitude >= 0x7c00 << 13
            ? magnitude | 0x7f800000
            : Float.floatToRawIntBits(Float.intBitsToFloat(magnitude) * 0x1p112f);
    return Float.intBitsToFloat(widened | (bits & 0x8000) << 16);
  }

  /** Rounds to nearest, ties to even, overflow to infinity; a NaN becomes the quiet NaN 0x7e00. */
  public static short of(float value) {
    int bits = Float.floatToRawIntBits(value);
    int sign = bits >>> 16 & 0x8000;
    int magnitude = bits & 0x7fffffff;
    if (magnitude > 0x7f800000) {
      return (short) (sign | 0x7e00);
    }
    if (magnitude >= 0x477ff000) {
      // 65520, half way from the largest binary16 to the next, or beyond
      return (short) (sign | 0x7c00);
    }
    if (magnitude < 0x38800000) {
      // Below 2⁻¹⁴ a unit is 2⁻²⁴, as it is of float32 numbers in [0.5, 1): let the sum round.
      float sum = Float.intBitsToFloat(magnitude) + 0.5f;
      return (short) (sign | (Float.floatToRawIntBits(sum) - 0x3f000000));
    }
    int rounded = magnitude + 0xfff + (magnitude >>> 13 & 1);
    return (short) (sign | (rounded - (112 << 23) >>> 13));
  }
}
