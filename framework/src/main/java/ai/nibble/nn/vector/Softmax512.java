package ai.nibble.nn.vector;

import ai.nibble.tensor.Bfloat16;
import java.lang.invoke.MethodHandle;
import java.lang.invoke.MethodHandles;
import java.nio.ByteBuffer;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorOperators;

/** Softmax of bfloat16 rows and the loss by it, in place, float32 inside, in 512-bit registers. */
public final class Softmax512 {
  private static MethodHandle max = Apart.method(MethodHandles.lookup(), "max");
  private static MethodHandle differences = Apart.method(MethodHandles.lookup(), "differences");
  private static MethodHandle sum = Apart.method(MethodHandles.lookup(), "sum");
  private static MethodHandle scaled = Apart.method(MethodHandles.lookup(), "scaled");

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
    try {
      float highest = (float) max.invokeExact(logits, at, width);
      differences.invokeExact(logits, at, width, highest, powers);
      Exponential512.call(powers, width);
      float total = (float) sum.invokeExact(powers, width);
      if (gradient) {
        scaled.invokeExact(powers, width, scale / total, logits, at);
        float probability = (float) Math.exp(right - highest) / total;
        logits.putShort(at + Short.BYTES * target, Bfloat16.of((probability - 1) * scale));
      }
      return (float) Math.log(total) - (right - highest);
    } catch (Throwable e) {
      throw Apart.failure(e);
    }
  }

  /**
   * Softmax of a row in place.
   *
   * @param scores hold the row from byte {@code at} on
   */
  public static void softmax(ByteBuffer scores, int at, int width, float[] powers) {
    try {
      float highest = (float) max.invokeExact(scores, at, width);
      differences.invokeExact(scores, at, width, highest, powers);
      Exponential512.call(powers, width);
      float total = (float) sum.invokeExact(powers, width);
      scaled.invokeExact(powers, width, 1 / total, scores, at);
    } catch (Throwable e) {
      throw Apart.failure(e);
    }
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

  /** Writes {@code x − max}, split. */
  private static void differences(
      ByteBuffer values, int at, int width, float max, float[] differences) {
    FloatVector highest = FloatVector.broadcast(Pairs512.F, max);
    for (int c = 0; c < width; c += Pairs512.UNIT) {
      IntVector pairs = Pairs512.load(values, at + Short.BYTES * c);
      Pairs512.even(pairs).sub(highest).intoArray(differences, c);
      Pairs512.odd(pairs).sub(highest).intoArray(differences, c + Pairs512.LANES);
    }
  }

  /** Lane by lane in the end, so that the order of additions is given. */
  private static float sum(float[] values, int n) {
    FloatVector sums = FloatVector.zero(Pairs512.F);
    for (int i = 0; i < n; i += Pairs512.LANES) {
      sums = sums.add(FloatVector.fromArray(Pairs512.F, values, i));
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
