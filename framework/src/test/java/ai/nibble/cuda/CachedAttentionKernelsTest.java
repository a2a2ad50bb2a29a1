package ai.nibble.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.cuda.CachedAttentionKernels.Scores;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Tensor;
import ai.nibble.tensor.TensorException;
import java.util.Arrays;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** One token's attention against the definition in double precision. */
class CachedAttentionKernelsTest extends KernelTestCase {
  /** One shape of attention to a cache. */
  private record Case(
      int heads, int keyValueHeads, int headDim, int capacity, int length, int window, double cap) {
    Case(int heads, int keyValueHeads, int headDim, int capacity, int length, int window) {
      this(heads, keyValueHeads, headDim, capacity, length, window, 0);
    }

    Scores scores() {
      return new Scores(scale(), window, cap);
    }

    /** What a product becomes. */
    double score(double product) {
      double score = product * scale();
      return cap == 0 ? score : cap * Math.tanh(score / cap);
    }

    int first() {
      return window > 0 ? Math.max(0, length - window) : 0;
    }

    double scale() {
      return 1 / Math.sqrt(headDim);
    }
  }

  private static final Case[] CASES = {
    new Case(1, 1, 1, 1, 1, 0),
    new Case(2, 1, 3, 9, 7, 0),
    new Case(9, 3, 64, 200, 128, 0),
    new Case(9, 3, 64, 200, 129, 0),
    new Case(9, 3, 64, 700, 600, 0),
    new Case(9, 3, 64, 700, 600, 200),
    new Case(9, 3, 64, 700, 600, 1),
    new Case(4, 4, 80, 300, 290, 0),
    new Case(11, 1, 128, 300, 300, 0),
    new Case(2, 1, 256, 150, 140, 1000),
    new Case(2, 2, 17, 300, 299, 0),
    new Case(2, 1, 256, 150, 140, 1000, 1.5),
    new Case(9, 3, 64, 700, 600, 200, 50),
    new Case(2, 2, 17, 300, 299, 0, 0.25)
  };

  /** Expected outputs and how far off they may be. */
  private record Expected(double[] values, double[] bounds) {}

  /**
   * A score is a sum of D products, off by (D + 2)·2⁻²⁴·scale·Σ|q·k|, which is a relative error of
   * its weight; exponentials add 2⁻²² and the rounding of their argument, sums over keys n·2⁻²⁴.
   * Numerator and denominator both carry them.
   */
  private static Expected attended(DType dtype, Case c, float[] q, float[] keys, float[] values) {
    int d = c.headDim;
    double[] out = new double[c.heads * d];
    double[] bounds = new double[out.length];
    for (int h = 0; h < c.heads; h++) {
      int cache = h / (c.heads / c.keyValueHeads) * c.capacity;
      double[] weights = new double[c.length];
      double worst = 0;
      double sum = 0;
      for (int j = c.first(); j < c.length; j++) {
        double dot = 0;
        double size = 0;
        for (int e = 0; e < d; e++) {
          double product = (double) q[h * d + e] * keys[(cache + j) * d + e];
          dot += product;
          size += Math.abs(product);
        }
        weights[j] = Math.exp(c.score(dot));
        // a cap's slope is at most 1; its tangent is within 2 ulp
        double capped = c.cap * 4 * 0x1p-24;
        worst = Math.max(worst, (d + 6) * 0x1p-24 * size * c.scale() + capped);
        sum += weights[j];
      }
      for (int e = 0; e < d; e++) {
        double size = 0;
        for (int j = c.first(); j < c.length; j++) {
          double term = weights[j] / sum * values[(cache + j) * d + e];
          out[h * d + e] += term;
          size += Math.abs(term);
        }
        double relative = 2 * (worst + 0x1p-21 + c.length * 0x1p-24);
        bounds[h * d + e] = relative * size + 1.01 * unit(dtype) * Math.abs(out[h * d + e]);
        bounds[h * d + e] += dtype == DType.FLOAT16 ? 0x1p-25 : 0;
      }
    }
    return new Expected(out, bounds);
  }

  @ParameterizedTest
  @EnumSource(names = {"FLOAT32", "BFLOAT16", "FLOAT16"})
  void isTheDefinition(DType dtype) {
    for (Case c : CASES) {
      float[] qs = gaussian(dtype, 1, c.heads * c.headDim);
      float[] ks = gaussian(dtype, 2, c.keyValueHeads * c.capacity * c.headDim);
      float[] vs = gaussian(dtype, 3, c.keyValueHeads * c.capacity * c.headDim);
      Expected expected = attended(dtype, c, qs, ks, vs);
      // what does not count must not be read into the sums
      for (int row = 0; row < c.keyValueHeads * c.capacity; row++) {
        if (row % c.capacity < c.first() || row % c.capacity >= c.length) {
          Arrays.fill(ks, row * c.headDim, (row + 1) * c.headDim, Float.NaN);
          Arrays.fill(vs, row * c.headDim, (row + 1) * c.headDim, Float.NaN);
        }
      }
      Tensor q = tensor(dtype, qs, c.heads, c.headDim);
      Tensor keys = tensor(dtype, ks, c.keyValueHeads, c.capacity, c.headDim);
      Tensor values = tensor(dtype, vs, c.keyValueHeads, c.capacity, c.headDim);
      Tensor out = unwritten(dtype, c.heads, c.headDim);
      CachedAttentionKernels.attend(out, q, keys, values, c.length, c.scores());
      assertWithin(expected.values, expected.bounds, out, dtype + " " + c);
      Tensor moved = misplaced(dtype, qs, c.heads, c.headDim);
      Tensor again = unwritten(dtype, c.heads, c.headDim);
      CachedAttentionKernels.attend(again, moved, keys, values, c.length, c.scores());
      assertWithin(expected.values, expected.bounds, again, dtype + " misplaced " + c);
    }
  }

  @Test
  void greatScoresDoNotOverflow() {
    Tensor q = tensor(DType.FLOAT32, new float[] {1000, 0}, 1, 2);
    Tensor keys = tensor(DType.FLOAT32, new float[] {1000, 0, 999, 0, -1000, 0}, 1, 3, 2);
    Tensor values = tensor(DType.FLOAT32, new float[] {1, 2, 3, 4, 5, 6}, 1, 3, 2);
    Tensor out = unwritten(DType.FLOAT32, 1, 2);
    CachedAttentionKernels.attend(out, q, keys, values, 3, new Scores(1, 0));
    assertSame(new float[] {1, 2}, out, "all weight on the first");
  }

  @Test
  void notANumberIsNotHidden() {
    for (int at : new int[] {0, 131}) {
      float[] ks = gaussian(DType.FLOAT32, 1, 140 * 8);
      ks[at * 8 + 3] = Float.NaN;
      Tensor out = unwritten(DType.FLOAT32, 1, 8);
      Tensor values = tensor(DType.FLOAT32, whole(2, 140 * 8), 1, 140, 8);
      CachedAttentionKernels.attend(
          out,
          tensor(DType.FLOAT32, gaussian(DType.FLOAT32, 3, 8), 1, 8),
          tensor(DType.FLOAT32, ks, 1, 140, 8),
          values,
          140,
          new Scores(1, 0));
      for (float value : floats(out)) {
        assertTrue(Float.isNaN(value), "key " + at);
      }
    }
  }

  @Test
  void workspaceOfTheCapacityServesAllLengths() {
    Tensor q = tensor(DType.FLOAT32, gaussian(DType.FLOAT32, 1, 4 * 16), 4, 16);
    Tensor keys = tensor(DType.FLOAT32, gaussian(DType.FLOAT32, 2, 2 * 300 * 16), 2, 300, 16);
    long elements = CachedAttentionKernels.workspaceElements(4, 16, 300);
    assertEquals(4 * 3 * 18, elements);
    assertEquals(0, CachedAttentionKernels.workspaceElements(4, 16, 128));
    Tensor workspace = unwritten(DType.FLOAT32, elements);
    for (int length : new int[] {1, 128, 129, 300}) {
      Tensor own = unwritten(DType.FLOAT32, 4, 16);
      Tensor given = unwritten(DType.FLOAT32, 4, 16);
      CachedAttentionKernels.attend(own, q, keys, keys, length, new Scores(0.25, 0));
      CachedAttentionKernels.attend(given, q, keys, keys, length, new Scores(0.25, 0), workspace);
      assertSame(floats(own), given, "length " + length);
    }
    Tensor small = unwritten(DType.FLOAT32, elements - 1);
    assertEquals(
        "cached_attention: workspace is 215, expected 216 elements",
        assertThrows(
                TensorException.class,
                () ->
                    CachedAttentionKernels.attend(
                        q, q, keys, keys, 300, new Scores(0.25, 0), small))
            .getMessage());
  }

  @ParameterizedTest
  @EnumSource(names = {"FLOAT32", "BFLOAT16", "FLOAT16"})
  void aTokenJoinsTheCacheRotated(DType dtype) {
    int heads = 6;
    int kv = 2;
    int capacity = 5;
    int at = 3;
    for (int[] head : new int[][] {{1, 2}, {3, 6}, {32, 64}, {40, 80}, {3, 7}, {24, 96}}) {
      int half = head[0];
      int d = head[1];
      float[] qkv = gaussian(dtype, 4, (heads + 2 * kv) * d);
      float[] cos = gaussian(DType.FLOAT32, 5, 4 * half);
      float[] sin = gaussian(DType.FLOAT32, 6, 4 * half);
      float[] rotated = qkv.clone();
      for (int i = 0; i < (heads + kv) * half; i++) {
        int low = i / half * d + i % half;
        float c = cos[at * half + i % half];
        float s = sin[at * half + i % half];
        rotated[low] = round(dtype, qkv[low] * c - qkv[low + half] * s);
        rotated[low + half] = round(dtype, qkv[low + half] * c + qkv[low] * s);
      }
      float[] before = whole(7, kv * capacity * d);
      Tensor keys = tensor(dtype, before, kv, capacity, d);
      Tensor values = tensor(dtype, before, kv, capacity, d);
      Tensor q = unwritten(dtype, heads, d);
      CachedAttentionKernels.append(
          keys,
          values,
          tensor(dtype, qkv, 1, qkv.length),
          at,
          tensor(DType.FLOAT32, cos, 4, half),
          tensor(DType.FLOAT32, sin, 4, half),
          q);
      String what = dtype + ", D " + d;
      assertSame(Arrays.copyOf(rotated, heads * d), q, what);
      assertSame(cached(before, rotated, heads, kv, capacity, at, d), keys, what);
      assertSame(cached(before, rotated, heads + kv, kv, capacity, at, d), values, what);
    }
  }

  /** The cache with the heads from {@code first} on at their place. */
  private static float[] cached(
      float[] before, float[] token, int first, int kv, int capacity, int at, int d) {
    float[] expected = before.clone();
    for (int h = 0; h < kv; h++) {
      System.arraycopy(token, (first + h) * d, expected, (h * capacity + at) * d, d);
    }
    return expected;
  }

  @Test
  void lengthBeyondTheCacheIsNamed() {
    Tensor q = tensor(DType.FLOAT32, new float[8], 1, 8);
    Tensor keys = tensor(DType.FLOAT32, new float[80], 1, 10, 8);
    assertEquals(
        "cached_attention: length is 11, expected 1 to 10",
        assertThrows(
                TensorException.class,
                () -> CachedAttentionKernels.attend(q, q, keys, keys, 11, new Scores(1, 0)))
            .getMessage());
  }
}
