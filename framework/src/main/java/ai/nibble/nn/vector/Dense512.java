package ai.nibble.nn.vector;

import jdk.incubator.vector.ByteVector;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorSpecies;

/**
 * What one token's pass does with plain values, in 512-bit registers: products with rows of
 * bfloat16 or float32, as they lie in memory, and functions of elements. Sums are float32.
 *
 * <p>bfloat16 is taken 32 elements at a time, as 16 ints: the upper half of each is one of odd
 * index, the lower half one of even index. What meets such rows is <em>split</em>: of each 32
 * elements 16 of even index come first, then 16 of odd index. What meets float32 is not.
 */
public final class Dense512 {
  /** Widths of rows are multiples of this. */
  public static final int UNIT = 32;

  /** Lengths of arrays for {@link #softmax} and {@link #silu} are multiples of this. */
  public static final int LANES = 16;

  /** Longest time for {@link #warmUp}, which takes a second where a core is free. */
  private static final long WARM_UP_NANOS = 10_000_000_000L;

  private static final VectorSpecies<Float> F = FloatVector.SPECIES_512;
  private static final VectorSpecies<Byte> B = ByteVector.SPECIES_512;
  private static final int BYTES = 64;

  /** The half of an int that is the value of odd index. */
  private static final int ODD = 0xFFFF0000;

  private Dense512() {}

  /**
   * Runs the kernels until HotSpot has compiled them: until then they are a thousand times slower.
   */
  public static void warmUp() {
    int width = 2 * UNIT;
    int rows = 64;
    byte[] values = new byte[rows * width * Float.BYTES];
    float[] x = new float[width];
    float[] weights = new float[rows];
    long end = System.nanoTime() + WARM_UP_NANOS;
    for (int compiled = 0; compiled < 3 && System.nanoTime() < end; ) {
      long start = System.nanoTime();
      for (int r = 0; r < rows; r++) {
        weights[r] = dotBfloat16(values, r * width, x, 0, width);
        weights[r] += dotFloat32(values, r * width, x, 0, width);
        addBfloat16(weights, 0, 4, values, width, x);
        addFloat32(weights, 0, 4, values, width, x);
        softmax(weights, rows);
        silu(weights, x, LANES);
      }
      // some 30 µs compiled, tens of milliseconds otherwise
      compiled = System.nanoTime() - start < 1_000_000 ? compiled + 1 : 0;
    }
  }

  /**
   * A row of bfloat16 times x.
   *
   * @param rows holds the row from byte {@code at} on
   * @param x holds as many elements, split, from {@code from} on
   */
  public static float dotBfloat16(byte[] rows, int at, float[] x, int from, int width) {
    FloatVector even = FloatVector.zero(F);
    FloatVector odd = FloatVector.zero(F);
    for (int c = 0; c < width; c += UNIT) {
      IntVector pairs = ByteVector.fromArray(B, rows, at + Short.BYTES * c).reinterpretAsInts();
      even =
          pairs
              .lanewise(VectorOperators.LSHL, 16)
              .reinterpretAsFloats()
              .fma(FloatVector.fromArray(F, x, from + c), even);
      odd =
          pairs
              .and(ODD)
              .reinterpretAsFloats()
              .fma(FloatVector.fromArray(F, x, from + c + LANES), odd);
    }
    return even.add(odd).reduceLanes(VectorOperators.ADD);
  }

  /** As {@link #dotBfloat16} with float32, and x not split. */
  public static float dotFloat32(byte[] rows, int at, float[] x, int from, int width) {
    FloatVector left = FloatVector.zero(F);
    FloatVector right = FloatVector.zero(F);
    for (int c = 0; c < width; c += UNIT) {
      int p = at + Float.BYTES * c;
      FloatVector w = ByteVector.fromArray(B, rows, p).reinterpretAsFloats();
      left = w.fma(FloatVector.fromArray(F, x, from + c), left);
      w = ByteVector.fromArray(B, rows, p + BYTES).reinterpretAsFloats();
      right = w.fma(FloatVector.fromArray(F, x, from + c + LANES), right);
    }
    return left.add(right).reduceLanes(VectorOperators.ADD);
  }

  /**
   * Adds weighted rows of bfloat16.
   *
   * @param weights of the rows, from {@code first} on
   * @param count of the rows
   * @param rows one after the other
   * @param sum {@code [width]}, split
   */
  public static void addBfloat16(
      float[] weights, int first, int count, byte[] rows, int width, float[] sum) {
    for (int c = 0; c < width; c += UNIT) {
      FloatVector even = FloatVector.fromArray(F, sum, c);
      FloatVector odd = FloatVector.fromArray(F, sum, c + LANES);
      int p = Short.BYTES * c;
      for (int r = 0; r < count; r++, p += Short.BYTES * width) {
        IntVector pairs = ByteVector.fromArray(B, rows, p).reinterpretAsInts();
        FloatVector w = FloatVector.broadcast(F, weights[first + r]);
        even = pairs.lanewise(VectorOperators.LSHL, 16).reinterpretAsFloats().fma(w, even);
        odd = pairs.and(ODD).reinterpretAsFloats().fma(w, odd);
      }
      even.intoArray(sum, c);
      odd.intoArray(sum, c + LANES);
    }
  }

  /** As {@link #addBfloat16} with float32, and the sum not split. */
  public static void addFloat32(
      float[] weights, int first, int count, byte[] rows, int width, float[] sum) {
    for (int c = 0; c < width; c += LANES) {
      FloatVector total = FloatVector.fromArray(F, sum, c);
      int p = Float.BYTES * c;
      for (int r = 0; r < count; r++, p += Float.BYTES * width) {
        FloatVector row = ByteVector.fromArray(B, rows, p).reinterpretAsFloats();
        total = row.fma(FloatVector.broadcast(F, weights[first + r]), total);
      }
      total.intoArray(sum, c);
    }
  }

  /**
   * Softmax in place.
   *
   * @param scores all of them, up to a multiple of {@link #LANES} filled with −∞
   */
  public static void softmax(float[] scores, int padded) {
    FloatVector highest = FloatVector.broadcast(F, Float.NEGATIVE_INFINITY);
    for (int i = 0; i < padded; i += LANES) {
      highest = highest.max(FloatVector.fromArray(F, scores, i));
    }
    float max = highest.reduceLanes(VectorOperators.MAX);
    FloatVector sums = FloatVector.zero(F);
    for (int i = 0; i < padded; i += LANES) {
      FloatVector e = FloatVector.fromArray(F, scores, i).sub(max).lanewise(VectorOperators.EXP);
      e.intoArray(scores, i);
      sums = sums.add(e);
    }
    float sum = sums.reduceLanes(VectorOperators.ADD);
    for (int i = 0; i < padded; i += LANES) {
      FloatVector.fromArray(F, scores, i).div(sum).intoArray(scores, i);
    }
  }

  /** {@code x / (1 + e^−x)} of the first n. */
  public static void silu(float[] x, float[] y, int n) {
    for (int i = 0; i < n; i += LANES) {
      FloatVector v = FloatVector.fromArray(F, x, i);
      v.div(v.neg().lanewise(VectorOperators.EXP).add(1)).intoArray(y, i);
    }
  }
}
