package ai.nibble.nn.vector;

import java.lang.invoke.MethodHandle;
import java.lang.invoke.MethodHandles;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorOperators;

/**
 * Exponentials in 512-bit registers, to a unit or two in the last place. Their bits are the same
 * before HotSpot has compiled this and after, which those of its own would not be.
 */
final class Exponential512 {
  private static final float LOG2_E = 1.44269504f;

  /** log 2 in two parts, of which the first times a small integer is exact. */
  private static final float LN2_HIGH = 0.693359375f;

  private static final float LN2_LOW = -2.12194440e-4f;

  /** Added to a float32 below 2²² it leaves the nearest integer in the lowest bits. */
  private static final float INTEGER = 0x1.8p23f;

  /** The exponential of this, and of what is below, comes out as zero. */
  private static final float LOWEST = -88;

  private static final int EXPONENT_SHIFT = 23;
  private static final int ONE = 0x3F800000;

  /** Of {@code (eʳ − 1 − r)/r²} for |r| up to half of log 2, highest power first (Cephes, expf). */
  private static final float[] SERIES = {
    1.9875691500e-4f,
    1.3981999507e-3f,
    8.3334519073e-3f,
    4.1665795894e-2f,
    1.6666665459e-1f,
    5.0000001201e-1f
  };

  private static MethodHandle apply = Apart.method(MethodHandles.lookup(), "apply");

  private Exponential512() {}

  /** As {@link #apply}, {@link Apart}. */
  static void call(float[] values, int n) throws Throwable {
    apply.invokeExact(values, n);
  }

  /**
   * Puts the exponential of each of the first n values in its place; a NaN stays one.
   *
   * @param values at most 0
   * @param n a multiple of 16
   */
  static void apply(float[] values, int n) {
    FloatVector log2e = FloatVector.broadcast(Pairs512.F, LOG2_E);
    FloatVector integer = FloatVector.broadcast(Pairs512.F, INTEGER);
    FloatVector high = FloatVector.broadcast(Pairs512.F, -LN2_HIGH);
    FloatVector low = FloatVector.broadcast(Pairs512.F, -LN2_LOW);
    for (int i = 0; i < n; i += Pairs512.LANES) {
      FloatVector x = FloatVector.fromArray(Pairs512.F, values, i).max(LOWEST);
      FloatVector shifted = x.fma(log2e, integer);
      FloatVector whole = shifted.sub(integer);
      FloatVector r = whole.fma(low, whole.fma(high, x));
      FloatVector series = FloatVector.broadcast(Pairs512.F, SERIES[0]);
      series = series.fma(r, FloatVector.broadcast(Pairs512.F, SERIES[1]));
      series = series.fma(r, FloatVector.broadcast(Pairs512.F, SERIES[2]));
      series = series.fma(r, FloatVector.broadcast(Pairs512.F, SERIES[3]));
      series = series.fma(r, FloatVector.broadcast(Pairs512.F, SERIES[4]));
      series = series.fma(r, FloatVector.broadcast(Pairs512.F, SERIES[5]));
      // 2 to the whole part: its integer, moved to where a float32 has its exponent
      IntVector power =
          shifted.reinterpretAsInts().lanewise(VectorOperators.LSHL, EXPONENT_SHIFT).add(ONE);
      series.fma(r.mul(r), r).add(1).mul(power.reinterpretAsFloats()).intoArray(values, i);
    }
  }
}
