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

  /** Those of {@code count} indices from {@code first} on, int64. */
  static Tensor of(Aten at, Tensor beside, long key, long first, long count) {
    Tensor z = at.sequence(beside, key + GOLDEN_GAMMA * (first + 1), GOLDEN_GAMMA, count);
    z = at.mul(at.xor(z, at.shiftRight(z, 30)), whole(at, z, FIRST_FACTOR));
    z = at.mul(at.xor(z, at.shiftRight(z, 27)), whole(at, z, SECOND_FACTOR));
    return at.xor(z, at.shiftRight(z, 31));
  }

  static Tensor whole(Aten at, Tensor beside, long value) {
    return at.filled(at.empty(beside, DType.INT64, 1), value);
  }
}
