package ai.nibble.quant;

import java.util.Arrays;

/**
 * Finds the code of a normalised value without branching over the thresholds: 1024 bins over [−1,
 * 1], none of which holds more than one threshold, so a bin leaves one comparison.
 *
 * <p>The bin of a value is computed by float32 operations that never decrease as the value grows. A
 * threshold in a lower bin is therefore below the value and one in a higher bin above it, whatever
 * the rounding, which makes the lookup exact by construction.
 */
final class CodeTable {
  private static final int BINS = 1024;
  private static final float SCALE = 511f;
  private static final float CENTRE = 512f;

  private static final CodeTable NF4 = new CodeTable(Quant4Type.NF4);
  private static final CodeTable FP4 = new CodeTable(Quant4Type.FP4);

  /** By bin: the threshold in it, or infinity. */
  private final float[] threshold = new float[BINS];

  /** By bin: the code at or below the threshold, and above it in bits 4 to 7. */
  private final byte[] codes = new byte[BINS];

  private CodeTable(Quant4Type type) {
    Arrays.fill(threshold, Float.POSITIVE_INFINITY);
    float[] thresholds = type.thresholds();
    int rank = 0;
    for (int bin = 0; bin < BINS; bin++) {
      int below = type.codeOfRank(rank);
      int above = below;
      if (rank < thresholds.length && bin(thresholds[rank]) == bin) {
        threshold[bin] = thresholds[rank++];
        above = type.codeOfRank(rank);
      }
      codes[bin] = (byte) (above << 4 | below);
    }
    if (rank != thresholds.length) {
      throw new IllegalStateException(type + ": two thresholds share a bin");
    }
  }

  static CodeTable of(Quant4Type type) {
    return type == Quant4Type.NF4 ? NF4 : FP4;
  }

  private static int bin(float x) {
    return (int) (x * SCALE + CENTRE);
  }

  /** The code of a value in [−1, 1], give or take rounding. */
  int code(float x) {
    int bin = bin(x) & BINS - 1;
    int pair = codes[bin];
    return (x > threshold[bin] ? pair >> 4 : pair) & 15;
  }

  /**
   * Quantises the block {@code bits[begin, end)} of float32 bit patterns, whose begin is even.
   *
   * @param divisor positive; the block's absmax
   * @param full whether the block has its full length: then values are multiplied by the reciprocal
   *     and otherwise divided, as bitsandbytes does on the CPU
   */
  void pack(int[] bits, int begin, int end, float divisor, boolean full, byte[] packed) {
    float reciprocal = 1f / divisor;
    if (full) {
      for (int k = begin; k < end; k += 2) {
        int high = code(Float.intBitsToFloat(bits[k]) * reciprocal);
        int low = code(Float.intBitsToFloat(bits[k + 1]) * reciprocal);
        packed[k >> 1] = (byte) (high << 4 | low);
      }
      return;
    }
    for (int k = begin; k < end; k += 2) {
      int high = code(Float.intBitsToFloat(bits[k]) / divisor);
      int low = code(k + 1 < end ? Float.intBitsToFloat(bits[k + 1]) / divisor : 0f);
      packed[k >> 1] = (byte) (high << 4 | low);
    }
  }
}
