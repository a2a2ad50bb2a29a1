package ai.nibble.nn.vector;

import ai.nibble.tensor.Bfloat16;
import java.nio.ByteBuffer;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorOperators;

/** Softmax of bfloat16 rows and the loss by it, in place, float32 inside, in 512-bit registers. */
public final class Softmax512 {
  private static final float LOG2_E = 1.44269504f;

  /** log 2 in two parts, of which the first times a small integer is exact. */
  private static final float LN2_HIGH = 0.693359375f;

  private static final float LN2_LOW = -2.12194440e-4f;

  /** Added to a float32 below 2²² it leaves the nearest integer in the lowest bits. */
  private static final float INTEGER = 0x1.8p23f;

  /** Exponentials below that of this are zero. */
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

  private Softmax512() {}

  /**
   * The negative log-likelihood of a row's target in nats.
   *
   * @param logits hold the row from byte {@code at} on; where the gradient is wanted, {@code
   *     scale·(softmax − onehot)} takes its place
   * @param width of the row, a multiple of {@link Pairs512#UNIT}
   * @param powers room for as many values
   */
  public static float crossEntropy(
      ByteBuffer logits,
      int at,
      int width,
      int target,
      float scale,
      boolean gradient,
      float[] powers) {
    float right = Bfloat16.toFloat(logits.getShort(at + Short.BYTES * target));
    float max = max(logits, at, width);
    float sum = powers(logits, at, width, max, powers);
    if (gradient) {
      scaled(powers, width, scale / sum, logits, at);
      float probability = (float) Math.exp(right - max) / sum;
      logits.putShort(at + Short.BYTES * target, Bfloat16.of((probability - 1) * scale));
    }
    return (float) Math.log(sum) - (right - max);
  }

  /**
   * Softmax of a row in place.
   *
   * @param scores hold the row from byte {@code at} on
   */
  public static void softmax(ByteBuffer scores, int at, int width, float[] powers) {
    float sum = powers(scores, at, width, max(scores, at, width), powers);
    scaled(powers, width, 1 / sum, scores, at);
  }

  private static float max(ByteBuffer values, int at, int width) {
    FloatVector even = FloatVector.broadcast(Pairs512.F, Float.NEGATIVE_INFINITY);
    FloatVector odd = even;
    for (int c = at; c < at + Short.BYTES * width; c += Pairs512.BYTES) {
      IntVector pairs = Pairs512.load(values, c);
      even = even.max(Pairs512.even(pairs));
      odd = odd.max(Pairs512.odd(pairs));
    }
    return even.max(odd).reduceLanes(VectorOperators.MAX);
  }

  /** Writes {@code exp(x − max)}, split, and returns the sum. */
  private static float powers(ByteBuffer values, int at, int width, float max, float[] powers) {
    FloatVector highest = FloatVector.broadcast(Pairs512.F, max);
    for (int c = 0; c < width; c += Pairs512.UNIT) {
      IntVector pairs = Pairs512.load(values, at + Short.BYTES * c);
      Pairs512.even(pairs).sub(highest).intoArray(powers, c);
      Pairs512.odd(pairs).sub(highest).intoArray(powers, c + Pairs512.LANES);
    }
    return exponentials(powers, width);
  }

  /** The exponential of each value of at most 0, in its place; returns their sum. */
  private static float exponentials(float[] values, int n) {
    FloatVector log2e = FloatVector.broadcast(Pairs512.F, LOG2_E);
    FloatVector integer = FloatVector.broadcast(Pairs512.F, INTEGER);
    FloatVector high = FloatVector.broadcast(Pairs512.F, -LN2_HIGH);
    FloatVector low = FloatVector.broadcast(Pairs512.F, -LN2_LOW);
    FloatVector sums = FloatVector.zero(Pairs512.F);
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
      FloatVector e = series.fma(r.mul(r), r).add(1).mul(power.reinterpretAsFloats());
      e.intoArray(values, i);
      sums = sums.add(e);
    }
    float[] lanes = new float[Pairs512.LANES];
    sums.intoArray(lanes, 0);
    float sum = 0;
    for (float lane : lanes) {
      sum += lane;
    }
    return sum;
  }

  private static void scaled(float[] values, int width, float factor, ByteBuffer to, int at) {
    for (int c = 0; c < width; c += Pairs512.UNIT) {
      Pairs512.store(
          FloatVector.fromArray(Pairs512.F, values, c).mul(factor),
          FloatVector.fromArray(Pairs512.F, values, c + Pairs512.LANES).mul(factor),
          to,
          at + Short.BYTES * c);
    }
  }
}
