package ai.nibble.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.autograd.Tape;
import ai.nibble.autograd.Variable;
import ai.nibble.nn.Parameter;
import ai.nibble.nn.RmsNorm;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Tensor;
import ai.nibble.tensor.TensorException;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** The norm's kernels against {@link RmsNorm}, and in float16 against its formulas. */
class RmsNormKernelsTest extends KernelTestCase {
  private static final double EPS = 1e-5;
  private static final NormRule LLAMA = NormRule.rounded(EPS);

  /** Multiplied in float32, and by the weight plus one. */
  private static final NormRule OFFSET = new NormRule((float) EPS, false, 1);

  /** Beyond these a row does not fit the registers of a block's threads, in any dtype. */
  private static final int[] LONG_ROWS = {4104, 16392};

  private static float inverse(float[] x, int row, int width) {
    float sum = 0;
    for (int c = 0; c < width; c++) {
      sum += x[row * width + c] * x[row * width + c];
    }
    return (float) (1 / Math.sqrt(sum / width + (float) EPS));
  }

  private static float[] normalized(DType dtype, float[] x, float[] w, int rows) {
    float[] y = new float[x.length];
    for (int r = 0; r < rows; r++) {
      float inverse = inverse(x, r, w.length);
      for (int c = 0; c < w.length; c++) {
        int i = r * w.length + c;
        y[i] = round(dtype, round(dtype, x[i] * inverse) * w[c]);
      }
    }
    return y;
  }

  private static float[] gradient(DType dtype, float[] dy, float[] x, float[] w, float[] prior) {
    float[] dx = new float[x.length];
    for (int at = 0; at < x.length; at += w.length) {
      float inverse = inverse(x, at / w.length, w.length);
      float product = 0;
      for (int c = 0; c < w.length; c++) {
        product += dy[at + c] * w[c] * x[at + c];
      }
      float back = inverse * inverse * inverse * product / w.length;
      for (int c = 0; c < w.length; c++) {
        float sum = inverse * (dy[at + c] * w[c]) - back * x[at + c];
        dx[at + c] = round(dtype, (prior == null ? 0 : prior[at + c]) + sum);
      }
    }
    return dx;
  }

  @ParameterizedTest
  @EnumSource(names = {"FLOAT32", "BFLOAT16", "FLOAT16"})
  void exactSumsGiveTheBitsOfTheFormulas(DType dtype) {
    for (int rows : new int[] {0, 1, 5}) {
      for (int width : WIDTHS) {
        checkExact(dtype, rows, width);
      }
    }
    for (int width : LONG_ROWS) {
      checkExact(dtype, 2, width);
    }
  }

  private void checkExact(DType dtype, int rows, int width) {
    String what = dtype + " " + rows + "x" + width;
    float[] xs = whole(1, rows * width);
    float[] dys = whole(2, rows * width);
    float[] ws = whole(3, width);
    float[] priors = whole(4, rows * width);
    Tensor x = tensor(dtype, xs, rows, width);
    Tensor dy = tensor(dtype, dys, rows, width);
    Tensor w = tensor(DType.FLOAT32, ws, width);
    Tensor y = unwritten(dtype, rows, width);
    RmsNormKernels.forward(y, x, w, LLAMA);
    assertSame(normalized(dtype, xs, ws, rows), y, what);
    Tensor dx = unwritten(dtype, rows, width);
    RmsNormKernels.backward(dx, dy, x, w, null, LLAMA);
    assertSame(gradient(dtype, dys, xs, ws, null), dx, what);
    Tensor prior = tensor(dtype, priors, rows, width);
    RmsNormKernels.backward(prior, dy, x, w, prior, LLAMA);
    assertSame(gradient(dtype, dys, xs, ws, priors), prior, what + " in the prior's place");
  }

  @ParameterizedTest
  @EnumSource(names = {"FLOAT32", "BFLOAT16", "FLOAT16"})
  void roomBehindRowsIsCleared(DType dtype) {
    for (int width : new int[] {1, 17, 576, 4104}) {
      for (int room : new int[] {1, 64, 600}) {
        float[] xs = whole(19, 3 * width);
        float[] ws = whole(20, width);
        Tensor y = unwrittenRows(dtype, 3, width, room);
        RmsNormKernels.forward(
            y, tensor(dtype, xs, 3, width), tensor(DType.FLOAT32, ws, width), LLAMA);
        assertRows(normalized(dtype, xs, ws, 3), y, room, dtype + " " + width + "+" + room);
      }
    }
  }

  @Test
  void roomBehindASingleRowIsClearedToo() {
    float[] xs = whole(19, 8);
    float[] ws = whole(20, 8);
    Tensor y = unwrittenRows(DType.FLOAT32, 1, 8, 56);
    Tensor x = tensor(DType.FLOAT32, xs, 1, 8);
    RmsNormKernels.forward(y, x, tensor(DType.FLOAT32, ws, 8), LLAMA);
    assertRows(normalized(DType.FLOAT32, xs, ws, 1), y, 56, "one row");
  }

  @ParameterizedTest
  @EnumSource(names = {"FLOAT32", "BFLOAT16", "FLOAT16"})
  void gradientsAreReadFromRowsThatLieApart(DType dtype) {
    for (int width : new int[] {1, 17, 576, 4104}) {
      for (int room : new int[] {1, 64}) {
        float[] xs = whole(21, 3 * width);
        float[] dys = whole(22, 3 * width);
        float[] ws = whole(23, width);
        Tensor dy = apart(tensor(dtype, dys, 3, width), room);
        Tensor dx = unwritten(dtype, 3, width);
        Tensor w = tensor(DType.FLOAT32, ws, width);
        RmsNormKernels.backward(dx, dy, tensor(dtype, xs, 3, width), w, null, LLAMA);
        assertSame(gradient(dtype, dys, xs, ws, null), dx, dtype + " " + width + "+" + room);
      }
    }
  }

  @ParameterizedTest
  @EnumSource(names = {"FLOAT32", "BFLOAT16"})
  void givesTheBitsOfTheLayer(DType dtype) {
    int width = 576;
    Tensor x = tensor(dtype, whole(5, 7 * width), 7, width);
    Tensor dy = tensor(dtype, whole(6, 7 * width), 7, width);
    Tensor w = tensor(DType.FLOAT32, whole(7, width), width);
    Tensor y = unwritten(dtype, 7, width);
    Tensor dx = unwritten(dtype, 7, width);
    RmsNormKernels.forward(y, x, w, LLAMA);
    RmsNormKernels.backward(dx, dy, x, w, null, LLAMA);
    float[][] layers = inJava(() -> layers(x, dy, w));
    assertSame(layers[0], y, "forward");
    assertSame(layers[1], dx, "backward");
  }

  /** Output and gradient of the layer. */
  private static float[][] layers(Tensor x, Tensor dy, Tensor w) {
    try (RmsNorm norm = new RmsNorm(w.share(), EPS);
        Tape tape = Tape.recording()) {
      Variable input = tape.leaf(x.share());
      Variable output = norm.apply(tape, input);
      float[] y = floats(output.value());
      tape.backward(output, dy.share());
      try (Tensor gradient = tape.takeGradient(input)) {
        return new float[][] {y, floats(gradient)};
      }
    }
  }

  @ParameterizedTest
  @EnumSource(names = {"FLOAT32", "BFLOAT16", "FLOAT16"})
  void rowsThatBeginAnywhereGiveTheSame(DType dtype) {
    int width = 64;
    float[] xs = whole(8, 3 * width);
    float[] ws = whole(9, width);
    Tensor y = misplaced(dtype, xs, 3, width);
    Tensor w = misplaced(DType.FLOAT32, ws, width);
    RmsNormKernels.forward(y, y, w, LLAMA);
    assertSame(normalized(dtype, xs, ws, 3), y, "in place");
  }

  /**
   * Σx² of n values has a relative error of n·2⁻²⁴ at most, its root half of that; then come the
   * root, the product and, in T, the roundings before and after the weight.
   */
  @ParameterizedTest
  @EnumSource(names = {"FLOAT32", "BFLOAT16", "FLOAT16"})
  void anyValuesAreWithinTheirRoundings(DType dtype) {
    for (int width : WIDTHS) {
      float[] xs = gaussian(dtype, width, 3 * width);
      float[] ws = gaussian(DType.FLOAT32, 1, width);
      Tensor y = unwritten(dtype, 3, width);
      RmsNormKernels.forward(
          y, tensor(dtype, xs, 3, width), tensor(DType.FLOAT32, ws, width), LLAMA);
      double[] expected = new double[xs.length];
      double[] bounds = new double[xs.length];
      for (int i = 0; i < xs.length; i++) {
        double sum = 0;
        for (int c = 0; c < width; c++) {
          double v = xs[i / width * width + c];
          sum += v * v;
        }
        expected[i] = xs[i] / Math.sqrt(sum / width + EPS) * ws[i % width];
        double relative = (width / 2.0 + 4) * 0x1p-24 + 2.01 * unit(dtype);
        // float16 has a smallest unit too, which the weight scales
        double smallest = dtype == DType.FLOAT16 ? 0x1p-25 * (1 + Math.abs(ws[i % width])) : 0;
        bounds[i] = relative * Math.abs(expected[i]) + smallest;
      }
      assertWithin(expected, bounds, y, dtype + " " + width);
    }
  }

  /** Rows of ±c are normalised to ±1 exactly, so sums over rows are of whole numbers. */
  @ParameterizedTest
  @EnumSource(names = {"FLOAT32", "BFLOAT16", "FLOAT16"})
  void weightGradientsAreSumsOverRows(DType dtype) {
    Random random = new Random(11);
    for (int rows : new int[] {0, 1, 63, 64, 301}) {
      for (int width : new int[] {1, 3, 63, 576, 1000}) {
        float[] xs = new float[rows * width];
        float[] dys = whole(12, rows * width);
        float[] expected = whole(13, width);
        Tensor grad = tensor(DType.FLOAT32, expected, width);
        for (int i = 0; i < xs.length; i++) {
          float sign = random.nextBoolean() ? 1 : -1;
          xs[i] = sign * (1 << i / width % 4);
          expected[i % width] += sign * dys[i];
        }
        RmsNormKernels.weightGradient(
            grad,
            tensor(dtype, dys, rows, width),
            tensor(dtype, xs, rows, width),
            NormRule.rounded(0));
        assertSame(expected, grad, dtype + " " + rows + "x" + width);
      }
    }
  }

  /** Products are rounded alike; sums of 50 rows in two orders differ by 2·50·2⁻²⁴·Σ|dy·x·i|. */
  @ParameterizedTest
  @EnumSource(names = {"FLOAT32", "BFLOAT16"})
  void weightGradientIsTheLayers(DType dtype) {
    int rows = 50;
    int width = 100;
    Tensor x = tensor(dtype, whole(14, rows * width), rows, width);
    float[] dys = gaussian(dtype, 15, rows * width);
    Tensor dy = tensor(dtype, dys, rows, width);
    Tensor grad = tensor(DType.FLOAT32, new float[width], width);
    Tensor layers = tensor(DType.FLOAT32, new float[width], width);
    Tensor w = tensor(DType.FLOAT32, whole(16, width), width);
    RmsNormKernels.weightGradient(grad, dy, x, LLAMA);
    inJava(
        () -> {
          try (RmsNorm norm = new RmsNorm(new Parameter("w", w, layers), EPS);
              Tape tape = Tape.recording()) {
            tape.backward(norm.apply(tape, tape.leaf(x.share())), dy.share());
          }
          return layers;
        });
    double[] expected = new double[width];
    double[] bounds = new double[width];
    for (int c = 0; c < width; c++) {
      expected[c] = floats(layers)[c];
      for (int r = 0; r < rows; r++) {
        // no normalised value is beyond √width = 10
        bounds[c] += 2 * rows * 0x1p-24 * Math.abs(dys[r * width + c]) * 10;
      }
    }
    assertWithin(expected, bounds, grad, dtype.torchName());
  }

  /** Rows whose inverse is exact: what is left is one product, rounded once. */
  @ParameterizedTest
  @EnumSource(names = {"FLOAT32", "BFLOAT16", "FLOAT16"})
  void weightsWithAnOffsetAreMultipliedInFloat32(DType dtype) {
    for (int width : new int[] {1, 17, 64, 576, 4104}) {
      float[] xs = gaussian(dtype, 31, 3 * width);
      float[] ws = gaussian(DType.FLOAT32, 32, width);
      float[] factors = new float[width];
      for (int c = 0; c < width; c++) {
        factors[c] = ws[c] + 1;
      }
      Tensor x = tensor(dtype, xs, 3, width);
      Tensor y = unwritten(dtype, 3, width);
      RmsNormKernels.forward(y, x, tensor(DType.FLOAT32, ws, width), OFFSET);
      Tensor wide = unwritten(DType.FLOAT32, 3, width);
      Tensor f = tensor(DType.FLOAT32, factors, width);
      RmsNormKernels.forward(wide, tensor(DType.FLOAT32, xs, 3, width), f, LLAMA);
      float[] expected = floats(wide);
      float[] got = floats(y);
      for (int i = 0; i < got.length; i++) {
        // the inverse roots differ by the order of their sums, so that some values round elsewhere
        float bound = (float) (2 * unit(dtype) + width * 0x1p-24) * Math.abs(expected[i]);
        assertEquals(expected[i], got[i], bound + (dtype == DType.FLOAT16 ? 0x1p-24f : 0));
      }
      Tensor dy = tensor(dtype, whole(33, 3 * width), 3, width);
      Tensor dx = unwritten(dtype, 3, width);
      Tensor again = unwritten(dtype, 3, width);
      RmsNormKernels.backward(dx, dy, x, tensor(DType.FLOAT32, ws, width), null, OFFSET);
      RmsNormKernels.backward(again, dy, x, f, null, LLAMA);
      assertSame(floats(again), dx, dtype + " " + width + ": the gradient by the factors");
    }
  }

  /** What is not rounded before the weight is not rounded in the sum either. */
  @Test
  void weightGradientsOfValuesThatAreNotRoundedAreExact() {
    float[] xs = gaussian(DType.BFLOAT16, 34, 64);
    Tensor x = tensor(DType.BFLOAT16, xs, 1, 64);
    Tensor dy = tensor(DType.BFLOAT16, whole(35, 64), 1, 64);
    Tensor grad = tensor(DType.FLOAT32, new float[64], 64);
    Tensor wide = tensor(DType.FLOAT32, new float[64], 64);
    RmsNormKernels.weightGradient(grad, dy, x, OFFSET);
    RmsNormKernels.weightGradient(
        wide,
        tensor(DType.FLOAT32, whole(35, 64), 1, 64),
        tensor(DType.FLOAT32, xs, 1, 64),
        OFFSET);
    float[] got = floats(grad);
    float[] expected = floats(wide);
    for (int c = 0; c < 64; c++) {
      // a sum of squares in another order; rounded to bfloat16 it would be 2^-9
      assertEquals(expected[c], got[c], Math.abs(expected[c]) * 64 * 0x1p-24f);
    }
  }

  @Test
  void notANumberStaysInItsRow() {
    float[] xs = whole(17, 3 * 64);
    xs[64 + 5] = Float.NaN;
    Tensor y = unwritten(DType.BFLOAT16, 3, 64);
    Tensor w = tensor(DType.FLOAT32, whole(18, 64), 64);
    RmsNormKernels.forward(y, tensor(DType.BFLOAT16, xs, 3, 64), w, LLAMA);
    float[] got = floats(y);
    for (int i = 0; i < got.length; i++) {
      assertEquals(i / 64 == 1, Float.isNaN(got[i]), "element " + i);
    }
  }

  @Test
  void operandsThatDoNotFitAreNamed() {
    Tensor x = tensor(DType.FLOAT32, new float[12], 3, 4);
    Tensor y = tensor(DType.BFLOAT16, new float[12], 3, 4);
    Tensor w = tensor(DType.FLOAT32, new float[3], 3);
    assertEquals(
        "rms_norm: y is bfloat16[3, 4], expected float32[3, 4], contiguous rows",
        assertThrows(TensorException.class, () -> RmsNormKernels.forward(y, x, w, LLAMA))
            .getMessage());
    assertEquals(
        "rms_norm: weight is float32[3], expected float32[4], contiguous",
        assertThrows(TensorException.class, () -> RmsNormKernels.forward(x, x, w, LLAMA))
            .getMessage());
    Tensor turned = scope.own(x.t());
    assertTrue(
        assertThrows(TensorException.class, () -> RmsNormKernels.forward(turned, turned, w, LLAMA))
            .getMessage()
            .startsWith("rms_norm: x is strided float32[4, 3], expected"));
  }
}
