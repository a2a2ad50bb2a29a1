package ai.nibble.nn;

import static ai.nibble.SplitMix64.GOLDEN_GAMMA;
import static ai.nibble.SplitMix64.mix;

/**
 * Dropout decided by a hash instead of a generator: whether an element is dropped depends only on
 * the key and the element's index, so backward and recomputation drop the same without keeping a
 * mask, and any thread may compute any row.
 */
final class Dropout {
  private static final int ELEMENTS_A_HASH = 4;

  private Dropout() {}

  /** A key for one layer of one pass. */
  static long key(long passKey, int layer) {
    return mix(passKey + GOLDEN_GAMMA * (layer + 1L));
  }

  /**
   * The key for elements from an index on, counted from 0 there.
   *
   * @param index a multiple of 4
   */
  static long from(long key, long index) {
    return key + GOLDEN_GAMMA * (index / ELEMENTS_A_HASH);
  }

  /**
   * Multiplies a row by its mask: 0 with probability p, else 1/(1−p).
   *
   * @param row elements {@code [index, index + count)}
   * @param index a multiple of 4
   * @param p in [0, 1), used to a resolution of 2⁻¹⁶
   */
  static void apply(float[] row, int count, long index, long key, double p) {
    int threshold = (int) Math.round(p * 65536);
    float scale = (float) (1 / (1 - p));
    long counter = key + GOLDEN_GAMMA * (index / ELEMENTS_A_HASH + 1);
    int whole = count & -ELEMENTS_A_HASH;
    for (int i = 0; i < whole; i += ELEMENTS_A_HASH) {
      long bits = mix(counter);
      row[i] *= factor((int) bits, threshold, scale);
      row[i + 1] *= factor((int) (bits >>> 16), threshold, scale);
      row[i + 2] *= factor((int) (bits >>> 32), threshold, scale);
      row[i + 3] *= factor((int) (bits >>> 48), threshold, scale);
      counter += GOLDEN_GAMMA;
    }
    long bits = mix(counter);
    for (int i = whole; i < count; i++) {
      row[i] *= factor((int) (bits >>> 16 * (i - whole)), threshold, scale);
    }
  }

  /** Branch-free, since no processor predicts a hash: the sign of a difference becomes a mask. */
  private static float factor(int bits, int threshold, float scale) {
    int kept = ~(((bits & 0xffff) - threshold) >> 31);
    return Float.intBitsToFloat(Float.floatToRawIntBits(scale) & kept);
  }
}
