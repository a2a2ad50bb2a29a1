package ai.nibble.nn.vector;

import ai.nibble.tensor.Bfloat16;
import java.nio.ByteBuffer;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorOperators;

/** Softmax of bfloat16 rows and the loss by it, in place, float32 inside, in 512-bit registers. */
public final class Softmax512 {
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
    FloatVector even = FloatVector.zero(Pairs512.F);
    FloatVector odd = FloatVector.zero(Pairs512.F);
    for (int c = 0; c < width; c += Pairs512.UNIT) {
      IntVector pairs = Pairs512.load(values, at + Short.BYTES * c);
      FloatVector left = Pairs512.even(pairs).sub(highest).lanewise(VectorOperators.EXP);
      FloatVector right = Pairs512.odd(pairs).sub(highest).lanewise(VectorOperators.EXP);
      left.intoArray(powers, c);
      right.intoArray(powers, c + Pairs512.LANES);
      even = even.add(left);
      odd = odd.add(right);
    }
    return even.add(odd).reduceLanes(VectorOperators.ADD);
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
