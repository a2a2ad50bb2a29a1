package ai.nibble.data;

/**
 * The generator of Steele, Lea and Flood (OOPSLA 2014): the same numbers on every machine, from any
 * 64 bits of state.
 */
final class SplitMix64 {
  private static final long GOLDEN_GAMMA = 0x9E3779B97F4A7C15L;

  private long state;

  SplitMix64(long state) {
    this.state = state;
  }

  /** The generator's output function; neighbouring inputs give unrelated numbers. */
  static long mix(long z) {
    long mixed = (z ^ (z >>> 30)) * 0xBF58476D1CE4E5B9L;
    mixed = (mixed ^ (mixed >>> 27)) * 0x94D049BB133111EBL;
    return mixed ^ (mixed >>> 31);
  }

  /**
   * A number from 0 to {@code n − 1}: the high half of the 128-bit product of the next one and n.
   */
  int below(int n) {
    state += GOLDEN_GAMMA;
    long number = mix(state);
    return (int) (Math.multiplyHigh(number, (long) n) + (number < 0 ? n : 0));
  }
}
