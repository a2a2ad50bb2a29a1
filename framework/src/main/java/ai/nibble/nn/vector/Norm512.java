package ai.nibble.nn.vector;

import java.lang.invoke.MethodHandle;
import java.lang.invoke.MethodHandles;
import java.nio.ByteBuffer;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;

/**
 * Root-mean-square normalisation of bfloat16 rows and its gradient, with float32 statistics, in
 * 512-bit registers. Rows lie one after the other from byte 0 on.
 */
public final class Norm512 {
  private static MethodHandle squares = Apart.method(MethodHandles.lookup(), "squares");
  private static MethodHandle rounded = Apart.method(MethodHandles.lookup(), "normalizeRounded");
  private static MethodHandle exact = Apart.method(MethodHandles.lookup(), "normalizeExact");
  private static MethodHandle products = Apart.method(MethodHandles.lookup(), "products");
  private static MethodHandle gradient = Apart.method(MethodHandles.lookup(), "gradientRow");
  private static MethodHandle add = Apart.method(MethodHandles.lookup(), "addGradientRow");

  private Norm512() {}

  /**
   * Normalises rows: {@code y = scale ⊙ x · i}, i the inverse root of {@code mean(x²) + eps}.
   *
   * @param x rows, {@code [rows, width]}
   * @param y receives as many
   * @param width a multiple of {@link Pairs512#UNIT}
   * @param scale {@code [width]}, {@linkplain Pairs512#split split}
   * @param rounds whether {@code x · i} is rounded before it meets the scale
   */
  public static void normalize(
      ByteBuffer x, ByteBuffer y, int rows, int width, float[] scale, float eps, boolean rounds) {
    float[] lanes = new float[Pairs512.LANES];
    try {
      for (int r = 0; r < rows; r++) {
        int at = r * Short.BYTES * width;
        squares.invokeExact(x, at, width, lanes);
        float inverse = inverseRoot(lanes, width, eps);
        if (rounds) {
          rounded.invokeExact(x, y, at, width, scale, inverse);
        } else {
          exact.invokeExact(x, y, at, width, scale, inverse);
        }
      }
    } catch (Throwable e) {
      throw Apart.failure(e);
    }
  }

  /**
   * The gradient by rows: {@code dx = prior + i·(scale⊙dy) − x·i³/H·Σ(scale⊙dy⊙x)}.
   *
   * @param dy gradients by the results, {@code [rows, width]}
   * @param x what was normalised
   * @param prior gradients to add to; null for none
   * @param dx receives the sums
   */
  public static void gradient(
      ByteBuffer dy,
      ByteBuffer x,
      ByteBuffer prior,
      ByteBuffer dx,
      int rows,
      int width,
      float[] scale,
      float eps) {
    float[] lanes = new float[Pairs512.LANES];
    try {
      for (int r = 0; r < rows; r++) {
        int at = r * Short.BYTES * width;
        squares.invokeExact(x, at, width, lanes);
        float inverse = inverseRoot(lanes, width, eps);
        products.invokeExact(dy, x, at, width, scale, lanes);
        float back = inverse * inverse * inverse * sum(lanes) / width;
        if (prior == null) {
          gradient.invokeExact(dy, x, dx, at, width, scale, inverse, back);
        } else {
          add.invokeExact(dy, x, prior, dx, at, width, scale, inverse, back);
        }
      }
    } catch (Throwable e) {
      throw Apart.failure(e);
    }
  }

  private static float inverseRoot(float[] squares, int width, float eps) {
    return (float) (1 / Math.sqrt(sum(squares) / width + eps));
  }

  /** Lane by lane, so that the order of additions is given. */
  private static float sum(float[] lanes) {
    float sum = 0;
    for (float lane : lanes) {
      sum += lane;
    }
    return sum;
  }

  private static void squares(ByteBuffer x, int at, int width, float[] lanes) {
    FloatVector even = FloatVector.zero(Pairs512.F);
    FloatVector odd = FloatVector.zero(Pairs512.F);
    for (int c = at; c < at + Short.BYTES * width; c += Pairs512.BYTES) {
      IntVector pairs = Pairs512.load(x, c);
      FloatVector left = Pairs512.even(pairs);
      FloatVector right = Pairs512.odd(pairs);
      even = left.fma(left, even);
      odd = right.fma(right, odd);
    }
    even.add(odd).intoArray(lanes, 0);
  }

  private static void normalizeExact(
      ByteBuffer x, ByteBuffer y, int at, int width, float[] scale, float inverse) {
    for (int c = 0; c < width; c += Pairs512.UNIT) {
      IntVector pairs = Pairs512.load(x, at + Short.BYTES * c);
      FloatVector even = Pairs512.even(pairs).mul(inverse);
      FloatVector odd = Pairs512.odd(pairs).mul(inverse);
      even = even.mul(FloatVector.fromArray(Pairs512.F, scale, c));
      odd = odd.mul(FloatVector.fromArray(Pairs512.F, scale, c + Pairs512.LANES));
      Pairs512.store(even, odd, y, at + Short.BYTES * c);
    }
  }

  private static void normalizeRounded(
      ByteBuffer x, ByteBuffer y, int at, int width, float[] scale, float inverse) {
    for (int c = 0; c < width; c += Pairs512.UNIT) {
      IntVector pairs = Pairs512.load(x, at + Short.BYTES * c);
      FloatVector even = Pairs512.round(Pairs512.even(pairs).mul(inverse));
      FloatVector odd = Pairs512.round(Pairs512.odd(pairs).mul(inverse));
      even = even.mul(FloatVector.fromArray(Pairs512.F, scale, c));
      odd = odd.mul(FloatVector.fromArray(Pairs512.F, scale, c + Pairs512.LANES));
      Pairs512.store(even, odd, y, at + Short.BYTES * c);
    }
  }

  /** {@code Σ scale ⊙ dy ⊙ x}, by lanes. */
  private static void products(
      ByteBuffer dy, ByteBuffer x, int at, int width, float[] scale, float[] lanes) {
    FloatVector even = FloatVector.zero(Pairs512.F);
    FloatVector odd = FloatVector.zero(Pairs512.F);
    for (int c = 0; c < width; c += Pairs512.UNIT) {
      IntVector g = Pairs512.load(dy, at + Short.BYTES * c);
      IntVector v = Pairs512.load(x, at + Short.BYTES * c);
      FloatVector left = Pairs512.even(g).mul(FloatVector.fromArray(Pairs512.F, scale, c));
      FloatVector right =
          Pairs512.odd(g).mul(FloatVector.fromArray(Pairs512.F, scale, c + Pairs512.LANES));
      even = left.fma(Pairs512.even(v), even);
      odd = right.fma(Pairs512.odd(v), odd);
    }
    even.add(odd).intoArray(lanes, 0);
  }

  private static void gradientRow(
      ByteBuffer dy,
      ByteBuffer x,
      ByteBuffer dx,
      int at,
      int width,
      float[] scale,
      float inverse,
      float back) {
    for (int c = 0; c < width; c += Pairs512.UNIT) {
      IntVector g = Pairs512.load(dy, at + Short.BYTES * c);
      IntVector v = Pairs512.load(x, at + Short.BYTES * c);
      FloatVector even = Pairs512.even(g).mul(FloatVector.fromArray(Pairs512.F, scale, c));
      FloatVector odd =
          Pairs512.odd(g).mul(FloatVector.fromArray(Pairs512.F, scale, c + Pairs512.LANES));
      even = even.mul(inverse).sub(Pairs512.even(v).mul(back));
      odd = odd.mul(inverse).sub(Pairs512.odd(v).mul(back));
      Pairs512.store(even, odd, dx, at + Short.BYTES * c);
    }
  }

  private static void addGradientRow(
      ByteBuffer dy,
      ByteBuffer x,
      ByteBuffer prior,
      ByteBuffer dx,
      int at,
      int width,
      float[] scale,
      float inverse,
      float back) {
    for (int c = 0; c < width; c += Pairs512.UNIT) {
      IntVector g = Pairs512.load(dy, at + Short.BYTES * c);
      IntVector v = Pairs512.load(x, at + Short.BYTES * c);
      IntVector before = Pairs512.load(prior, at + Short.BYTES * c);
      FloatVector even = Pairs512.even(g).mul(FloatVector.fromArray(Pairs512.F, scale, c));
      FloatVector odd =
          Pairs512.odd(g).mul(FloatVector.fromArray(Pairs512.F, scale, c + Pairs512.LANES));
      even = even.mul(inverse).sub(Pairs512.even(v).mul(back)).add(Pairs512.even(before));
      odd = odd.mul(inverse).sub(Pairs512.odd(v).mul(back)).add(Pairs512.odd(before));
      Pairs512.store(even, odd, dx, at + Short.BYTES * c);
    }
  }
}
