package ai.nibble;

/**
 * Random bits by a key instead of a state (SplitMix64's finaliser and increment; Steele, Lea, Flood
 * 2014): whoever knows the key gets the same bits, in any order and on any thread.
 */
public final class SplitMix64 {
  /** The increment between counters, 2⁶⁴ over the golden ratio. */
  public static final long GOLDEN_GAMMA = 0x9E3779B97F4A7C15L;

  private SplitMix64() {}

  /** The bits of a key: a bijection in which every bit of the key flips half of them. */
  public static long mix(long key) {
    long z = (key ^ (key >>> 30)) * 0xBF58476D1CE4E5B9L;
    z = (z ^ (z >>> 27)) * 0x94D049BB133111EBL;
    return z ^ (z >>> 31);
  }
}
