package ai.nibble.quant;

import java.util.Arrays;

/**
 * The 256 sorted float32 values in (−1, 1] of bitsandbytes' signed 8-bit dynamic map, which store
 * the residual absmax of double quantisation.
 *
 * <p>The upper half is kept as literal bit patterns: the original builds it with a vectorised
 * {@code linspace} whose last bits depend on the machine, and these are the ones that machines with
 * AVX2 or AVX-512 make. Weights read from a checkpoint bring their own map.
 */
final class SignedDynamicMap {
  static final int SIZE = 256;

  /** Index of 0. */
  static final int ZERO = 127;

  /** float32 bit patterns of entries 128 to 254. */
  private static final String UPPER =
      """
      3513a3b7 365a1a94 370205ff 37b24206 38378034 388aefb3 38ba1f4b 3923d70b 398ce705 39c7e283
      3a016f01 3a1eecc1 3a3c6a80 3a59e83e 3a7765ff 3aa7ef9d 3af1a9fc 3b1db22d 3b428f5c 3b676c8a
      3b8624dd 3b989374 3bab020d 3bbd70a4 3bcfdf3b 3be24dd3 3bf4bc6a 3c039581 3c0ccccd 3c160418
      3c1f3b64 3c3ae148 3c68f5c3 3c8b851f 3ca28f5d 3cb9999a 3cd0a3d7 3ce7ae15 3cfeb852 3d0ae148
      3d166667 3d21eb85 3d2d70a3 3d38f5c3 3d447ae1 3d500000 3d5b851f 3d670a3d 3d728f5d 3d7e147b
      3d84cccd 3d8a8f5d 3d9051eb 3d96147b 3d9bd70a 3da1999a 3da75c2a 3dad1eb8 3db2e148 3db8a3d7
      3dbe6667 3dc428f7 3dc9eb85 3ddb3334 3df80000 3e0a6666 3e18cccd 3e273333 3e35999a 3e440000
      3e526666 3e60cccd 3e6f3333 3e7d9999 3e860000 3e8d3334 3e946666 3e9b999a 3ea2cccc 3eaa0000
      3eb13333 3eb86666 3ebf999a 3ec6cccc 3ece0000 3ed53333 3edc6666 3ee3999a 3eeacccc 3ef20000
      3ef93332 3f003333 3f03cccc 3f076666 3f0b0000 3f0e999a 3f123334 3f15cccd 3f196666 3f1d0000
      3f20999a 3f243334 3f27cccd 3f2b6666 3f2f0000 3f32999a 3f363334 3f39cccd 3f3d6666 3f410000
      3f44999a 3f483333 3f4bcccd 3f4f6666 3f530000 3f56999a 3f5a3333 3f5dcccd 3f616666 3f650000
      3f68999a 3f6c3333 3f6fcccd 3f736666 3f770000 3f7a999a 3f7e3333
      """;

  private static final float[] VALUES = build();

  private SignedDynamicMap() {}

  private static float[] build() {
    String[] upper = UPPER.trim().split("\\s+");
    float[] values = new float[SIZE];
    for (int k = 1; k <= 127; k++) {
      float value = Float.intBitsToFloat(Integer.parseUnsignedInt(upper[k - 1], 16));
      values[ZERO + k] = value;
      values[ZERO - k] = -value;
    }
    values[SIZE - 1] = 1f;
    return values;
  }

  /** A copy of the map. */
  static float[] values() {
    return VALUES.clone();
  }

  static boolean is(float[] map) {
    return Arrays.equals(map, VALUES);
  }

  /** Index of the entry nearest to x: {@link DynamicMap#nearest(float, float[])}. */
  static int nearest(float x) {
    return DynamicMap.nearest(x, VALUES);
  }
}
