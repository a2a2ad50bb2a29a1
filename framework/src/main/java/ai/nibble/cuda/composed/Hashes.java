package ai.nibble.cuda.composed;

import ai.nibble.tensor.Aten;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Tensor;

/** SplitMix64 (Steele et al. 2014) of a key and an index, which decides what is random. */
final class Hashes {
  private static final long GOLDEN_GAMMA = 0x9E3779B97F4A7C15L;
  private static final long FIRST_FACTOR = 0xBF58476D1CE4E5B9L;
  private static final long SECOND_FACTOR = 0x94D049BB133111EBL;

  private Hashes() {}

  /**
   * Those of {@code count} indices from {@code first} on, int64; what is made on the way, 13 times
   * as much, is freed.
   */
  static Tensor of(Aten at, Tensor beside, long key, long first, long count) {
    try (Aten own = new Aten()) {
      Tensor z = own.sequence(beside, key + GOLDEN_GAMMA * (first + 1), GOLDEN_GAMMA, count);
      z = own.mul(own.xor(z, own.shiftRight(z, 30)), whole(own, z, FIRST_FACTOR));
      z = own.mul(own.xor(z, own.shiftRight(z, 27)), whole(own, z, SECOND_FACTOR));
      return at.own(own.xor(z, own.shiftRight(z, 31)).share());
    }
  }

  static Tensor whole(Aten at, Tensor beside, long value) {
    return at.filled(at.empty(beside, DType.INT64, 1), value);
  }
}
