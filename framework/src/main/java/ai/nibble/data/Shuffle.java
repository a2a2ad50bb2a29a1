package ai.nibble.data;

/**
 * Random orders that depend on a seed and an epoch's number only, the same on every machine: the
 * state of a SplitMix64 generator (Steele, Lea and Flood, OOPSLA 2014) starts at {@code mix(seed) +
 * epoch}; a Fisher–Yates shuffle goes from the last index down, and picks among n by the high half
 * of the 128-bit product of the next number and n.
 */
final class Shuffle {
  private static final long GOLDEN_GAMMA = 0x9E3779B97F4A7C15L;

  private long state;

  Shuffle(long seed, long epoch) {
    state = mix(seed) + epoch;
  }

  /** The numbers from 0 to n − 1 in random order. */
  int[] order(int n) {
    int[] order = new int[n];
    for (int i = 0; i < n; i++) {
      order[i] = i;
    }
    for (int i = n - 1; i > 0; i--) {
      state += GOLDEN_GAMMA;
      int j = (int) unsignedHigh(mix(state), i + 1);
      int swapped = order[i];
      order[i] = order[j];
      order[j] = swapped;
    }
    return order;
  }

  /** SplitMix64's output function. */
  private static long mix(long z) {
    long mixed = (z ^ (z >>> 30)) * 0xBF58476D1CE4E5B9L;
    mixed = (mixed ^ (mixed >>> 27)) * 0x94D049BB133111EBL;
    return mixed ^ (mixed >>> 31);
  }

  /** The high half of an unsigned number times a positive one. */
  private static long unsignedHigh(long number, long n) {
    return Math.multiplyHigh(number, n) + (number < 0 ? n : 0);
  }
}
