package ai.nibble.export.merge;

import ai.nibble.model.WeightSource;
import ai.nibble.tensor.DType;
import java.util.function.Predicate;

/**
 * Weights moved by a random part of their rounding interval, uniformly in half a unit in the last
 * place of a dtype either way: what another rounding of the same numbers could have been. Float32,
 * the same for the same names and seed.
 */
final class DitheredWeights extends WeightView {
  private static final long GOLDEN_GAMMA = 0x9E3779B97F4A7C15L;

  private final DType dtype;
  private final Predicate<String> rounded;
  private final long seed;

  /**
   * @param dtype bfloat16 or float16
   * @param rounded the tensors to move; the others are exact
   */
  DitheredWeights(WeightSource base, DType dtype, Predicate<String> rounded, long seed) {
    super(base);
    this.dtype = dtype;
    this.rounded = rounded;
    this.seed = seed;
  }

  @Override
  public DType dtype(String name) {
    return rounded.test(name) ? DType.FLOAT32 : base.dtype(name);
  }

  @Override
  public DType heldDtype(String name) {
    return rounded.test(name) ? DType.FLOAT32 : base.heldDtype(name);
  }

  @Override
  public void read(String name, long firstElement, float[] out, int offset, int count) {
    base.read(name, firstElement, out, offset, count);
    if (!rounded.test(name)) {
      return;
    }
    long key = mix(seed * GOLDEN_GAMMA + name.hashCode());
    for (int i = 0; i < count; i++) {
      // 24 bits: exact in float32
      float uniform = (mix(key + GOLDEN_GAMMA * (firstElement + i)) >>> 40) * 0x1p-24f - 0.5f;
      out[offset + i] += uniform * unitInLastPlace(out[offset + i]);
    }
  }

  /** The distance to the next number of the dtype, away from zero. */
  float unitInLastPlace(float value) {
    boolean half = dtype == DType.FLOAT16;
    int smallest = half ? -14 : Float.MIN_EXPONENT;
    int exponent = Math.max(Math.getExponent(value), smallest);
    return Math.scalb(1f, exponent - (half ? 10 : 7));
  }

  /** The finaliser of SplitMix64 (Steele, Lea, Flood 2014). */
  private static long mix(long z) {
    z = (z ^ (z >>> 30)) * 0xBF58476D1CE4E5B9L;
    z = (z ^ (z >>> 27)) * 0x94D049BB133111EBL;
    return z ^ (z >>> 31);
  }
}
