package ai.nibble.export.merge;

import ai.nibble.SplitMix64;
import ai.nibble.model.WeightSource;
import ai.nibble.model.WeightView;
import ai.nibble.tensor.DType;
import java.util.function.Predicate;

/**
 * Weights moved at random, by as much as rounding can have moved them, float32 and the same for the
 * same names and seed. A tensor that was rounded to a shorter dtype is moved uniformly within half
 * a unit in its last place either way: what another rounding could have given. All others are moved
 * within √K half units of float32, where a product sums K terms: an error as large as that of the
 * sum.
 */
final class DitheredWeights extends WeightView {
  private static final int FLOAT32_DIGITS = 23;

  private final DType dtype;
  private final Predicate<String> rounded;
  private final long seed;

  /**
   * @param dtype that the rounded tensors have: bfloat16, float16 or float32
   * @param rounded the tensors that were rounded; the others are exact
   */
  DitheredWeights(WeightSource base, DType dtype, Predicate<String> rounded, long seed) {
    super(base);
    this.dtype = dtype;
    this.rounded = rounded;
    this.seed = seed;
  }

  @Override
  public DType dtype(String name) {
    return DType.FLOAT32;
  }

  @Override
  public DType heldDtype(String name) {
    return DType.FLOAT32;
  }

  @Override
  public void read(String name, long firstElement, float[] out, int offset, int count) {
    base.read(name, firstElement, out, offset, count);
    boolean shortened = rounded.test(name) && dtype != DType.FLOAT32;
    DType unit = shortened ? dtype : DType.FLOAT32;
    double units = shortened ? 1 : Math.sqrt(width(name));
    long key = SplitMix64.mix(seed * SplitMix64.GOLDEN_GAMMA + name.hashCode());
    for (int i = 0; i < count; i++) {
      double uniform =
          (SplitMix64.mix(key + SplitMix64.GOLDEN_GAMMA * (firstElement + i)) >>> 11) * 0x1p-53
              - 0.5;
      float value = out[offset + i];
      out[offset + i] = (float) (value + uniform * units * unitInLastPlace(unit, value));
    }
  }

  /** The distance from a value to the next number of the dtype, away from zero. */
  static float unitInLastPlace(DType dtype, float value) {
    int smallest = dtype == DType.FLOAT16 ? -14 : Float.MIN_EXPONENT;
    int digits =
        switch (dtype) {
          case BFLOAT16 -> 7;
          case FLOAT16 -> 10;
          default -> FLOAT32_DIGITS;
        };
    return Math.scalb(1f, Math.max(Math.getExponent(value), smallest) - digits);
  }
}
