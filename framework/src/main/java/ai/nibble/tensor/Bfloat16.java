package ai.nibble.tensor;

/** bfloat16: the upper half of a float32, here as its 16 bits. */
public final class Bfloat16 {
  private Bfloat16() {}

  public static float toFloat(short bits) {
    return Float.intBitsToFloat(bits << 16);
  }

  /** Rounds to nearest, ties to even, as libtorch does; a NaN becomes the quiet NaN 0x7fc0. */
  public static short of(float value) {
    int bits = Float.floatToRawIntBits(value);
    if ((bits & 0x7fffffff) > 0x7f800000) {
      return 0x7fc0;
    }
    return (short) ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16);
  }

  /** The value rounded to bfloat16, as a float32. */
  public static float round(float value) {
    return toFloat(of(value));
  }
}
