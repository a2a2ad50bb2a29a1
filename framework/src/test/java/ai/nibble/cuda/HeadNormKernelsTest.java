package ai.nibble.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import ai.nibble.tensor.DType;
import ai.nibble.tensor.Tensor;
import ai.nibble.tensor.TensorException;
import java.util.Arrays;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Heads are normalised as {@link RmsNormKernels} normalises rows, values left as they are. */
class HeadNormKernelsTest extends KernelTestCase {
  private static final NormRule LLAMA = NormRule.rounded(1e-5);
  private static final int TOKENS = 3;

  /** Queries, keys, and elements of a head: more than a warp keeps, and no whole access. */
  private static final int[][] SHAPES = {{4, 2, 64}, {3, 1, 17}, {1, 1, 1}, {2, 2, 1040}};

  private static float[] part(float[] all, int heads, int first, int count, int d) {
    float[] part = new float[TOKENS * count * d];
    for (int t = 0; t < TOKENS; t++) {
      System.arraycopy(all, (t * heads + first) * d, part, t * count * d, count * d);
    }
    return part;
  }

  /** The parts of a whole that the row kernels make of its parts. */
  private interface Rows {
    Tensor run(Tensor part, int first, int count);
  }

  private void assertParts(float[] whole, int queries, int keys, int d, Rows rows, DType dtype) {
    int heads = queries + 2 * keys;
    int[][] parts = {{0, queries}, {queries, keys}};
    for (int[] p : parts) {
      float[] seen = part(whole, heads, p[0], p[1], d);
      Tensor none = unwritten(dtype, TOKENS * p[1], d);
      assertEquals(
          Arrays.toString(rows.run(none, p[0], p[1]).toFloats()), Arrays.toString(seen), d + "");
    }
  }

  @ParameterizedTest
  @EnumSource(names = {"FLOAT32", "BFLOAT16", "FLOAT16"})
  void eachKindOfHeadHasItsWeight(DType dtype) {
    for (int[] shape : SHAPES) {
      int queries = shape[0];
      int keys = shape[1];
      int d = shape[2];
      int heads = queries + 2 * keys;
      float[] xs = whole(1, TOKENS * heads * d);
      float[] dys = whole(2, TOKENS * heads * d);
      float[] priors = whole(3, TOKENS * heads * d);
      Tensor x = tensor(dtype, xs, TOKENS, heads * d);
      Tensor dy = tensor(dtype, dys, TOKENS, heads * d);
      Tensor prior = tensor(dtype, priors, TOKENS, heads * d);
      Tensor[] w = {tensor(DType.FLOAT32, whole(4, d), d), tensor(DType.FLOAT32, whole(5, d), d)};
      Tensor y = unwritten(dtype, TOKENS, heads * d);
      HeadNormKernels.Heads all = new HeadNormKernels.Heads(w[0], w[1], queries, keys, LLAMA);
      HeadNormKernels.forward(y, x, all);
      Tensor dx = unwritten(dtype, TOKENS, heads * d);
      HeadNormKernels.backward(dx, dy, x, prior, all);
      assertParts(
          y.toFloats(),
          queries,
          keys,
          d,
          (to, first, count) -> {
            Tensor rows = tensor(dtype, part(xs, heads, first, count, d), TOKENS * count, d);
            RmsNormKernels.forward(to, rows, w[first == 0 ? 0 : 1], LLAMA);
            return to;
          },
          dtype);
      assertParts(
          dx.toFloats(),
          queries,
          keys,
          d,
          (to, first, count) -> {
            Tensor rows = tensor(dtype, part(xs, heads, first, count, d), TOKENS * count, d);
            Tensor grads = tensor(dtype, part(dys, heads, first, count, d), TOKENS * count, d);
            Tensor before = tensor(dtype, part(priors, heads, first, count, d), TOKENS * count, d);
            RmsNormKernels.backward(to, grads, rows, w[first == 0 ? 0 : 1], before, LLAMA);
            return to;
          },
          dtype);
      int values = queries + keys;
      float[] sums = part(dys, heads, values, keys, d);
      float[] before = part(priors, heads, values, keys, d);
      for (int i = 0; i < sums.length; i++) {
        sums[i] = round(dtype, sums[i] + before[i]);
      }
      assertEquals(
          Arrays.toString(part(xs, heads, values, keys, d)),
          Arrays.toString(part(y.toFloats(), heads, values, keys, d)));
      assertEquals(
          Arrays.toString(sums), Arrays.toString(part(dx.toFloats(), heads, values, keys, d)));
    }
  }

  /** As OLMo 2 has it: all heads together are one, wider of queries than of keys. */
  @ParameterizedTest
  @EnumSource(names = {"FLOAT32", "BFLOAT16", "FLOAT16"})
  void headsOfQueriesMayBeWider(DType dtype) {
    for (int[] widths : new int[][] {{1, 1}, {30, 20}, {64, 16}, {4104, 1024}, {16, 4104}}) {
      int q = widths[0];
      int k = widths[1];
      int all = q + 2 * k;
      NormRule rule = new NormRule(1e-5f, false, 0);
      float[] xs = whole(6, TOKENS * all);
      float[] dys = whole(7, TOKENS * all);
      Tensor x = tensor(dtype, xs, TOKENS, all);
      Tensor dy = tensor(dtype, dys, TOKENS, all);
      Tensor[] w = {tensor(DType.FLOAT32, whole(8, q), q), tensor(DType.FLOAT32, whole(9, k), k)};
      HeadNormKernels.Heads heads = new HeadNormKernels.Heads(w[0], w[1], 1, 1, rule);
      Tensor y = unwritten(dtype, TOKENS, all);
      HeadNormKernels.forward(y, x, heads);
      Tensor dx = unwritten(dtype, TOKENS, all);
      HeadNormKernels.backward(dx, dy, x, null, heads);
      int[][] parts = {{0, q}, {q, k}};
      for (int p = 0; p < 2; p++) {
        int d = parts[p][1];
        Tensor rows = tensor(dtype, columns(xs, all, parts[p][0], d), TOKENS, d);
        Tensor grads = tensor(dtype, columns(dys, all, parts[p][0], d), TOKENS, d);
        Tensor expected = unwritten(dtype, TOKENS, d);
        RmsNormKernels.forward(expected, rows, w[p], rule);
        String what = dtype + " " + q + " and " + k + ", part " + p;
        assertEquals(
            Arrays.toString(floats(expected)),
            Arrays.toString(columns(floats(y), all, parts[p][0], d)),
            what);
        RmsNormKernels.backward(expected, grads, rows, w[p], null, rule);
        assertEquals(
            Arrays.toString(floats(expected)),
            Arrays.toString(columns(floats(dx), all, parts[p][0], d)),
            what);
      }
      assertEquals(
          Arrays.toString(columns(xs, all, q + k, k)),
          Arrays.toString(columns(floats(y), all, q + k, k)));
    }
  }

  private static float[] columns(float[] rows, int width, int first, int count) {
    float[] part = new float[TOKENS * count];
    for (int t = 0; t < TOKENS; t++) {
      System.arraycopy(rows, t * width + first, part, t * count, count);
    }
    return part;
  }

  @Test
  void operandsThatDoNotFitAreRefused() {
    Tensor x = tensor(DType.FLOAT32, whole(1, 3 * 40), 3, 40);
    Tensor w = tensor(DType.FLOAT32, whole(2, 8), 8);
    Tensor y = unwritten(DType.FLOAT32, 3, 40);
    HeadNormKernels.forward(y, x, new HeadNormKernels.Heads(w, w, 3, 1, LLAMA));
    assertRefused(y, x, new HeadNormKernels.Heads(w, w, 2, 1, LLAMA));
    assertRefused(y, x, new HeadNormKernels.Heads(w, x, 3, 1, LLAMA));
  }

  private static void assertRefused(Tensor y, Tensor x, HeadNormKernels.Heads heads) {
    assertThrows(TensorException.class, () -> HeadNormKernels.forward(y, x, heads));
  }
}
