package ai.nibble.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.tensor.DType;
import ai.nibble.tensor.Tensor;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Losses and gradients against the definition in double precision. */
class CrossEntropyKernelsTest extends KernelTestCase {
  private static final double SCALE = 1.0 / 7;

  /**
   * Errors of the logarithm of the sum: of V exponentials, each of an argument up to 30 that was
   * rounded and within 2 ulp, added in chains of V/512·9 + 20; then of two differences of numbers
   * up to 30.
   */
  private static double logError(int width) {
    return 0x1p-24 * (30 + 4 + width / 50.0 + 20 + 3 * 30);
  }

  private static double logSum(float[] logits, int at, int width) {
    double max = Double.NEGATIVE_INFINITY;
    for (int c = 0; c < width; c++) {
      max = Math.max(max, logits[at + c]);
    }
    double sum = 0;
    for (int c = 0; c < width; c++) {
      sum += Math.exp(logits[at + c] - max);
    }
    return max + Math.log(sum);
  }

  @ParameterizedTest
  @EnumSource(names = {"FLOAT32", "BFLOAT16", "FLOAT16"})
  void isTheDefinition(DType dtype) {
    for (int rows : new int[] {0, 1, 5}) {
      for (int width : new int[] {1, 3, 7, 17, 63, 576, 1000, 4099, 33003}) {
        check(dtype, rows, width);
      }
    }
  }

  private void check(DType dtype, int rows, int width) {
    String what = dtype + " " + rows + "x" + width;
    float[] values = gaussian(dtype, width, rows * width);
    for (int i = 0; i < values.length; i++) {
      values[i] = i % 11 == 3 ? Float.NEGATIVE_INFINITY : round(dtype, 3 * values[i]);
    }
    int[] targets = new Random(3).ints(rows, 0, width).toArray();
    double[] losses = new double[rows];
    double[] lossBounds = new double[rows];
    double[] gradients = new double[values.length];
    double[] bounds = new double[values.length];
    for (int r = 0; r < rows; r++) {
      values[r * width + targets[r]] = 0.5f;
      double logSum = logSum(values, r * width, width);
      losses[r] = logSum - 0.5;
      lossBounds[r] = logError(width);
      for (int c = 0; c < width; c++) {
        int i = r * width + c;
        double p = Math.exp(values[i] - logSum);
        gradients[i] = (p - (c == targets[r] ? 1 : 0)) * SCALE;
        double smallest = dtype == DType.FLOAT16 ? 0x1p-25 : 1e-44;
        bounds[i] = 1.01 * unit(dtype) * Math.abs(gradients[i]) + smallest;
        bounds[i] += (p * (logError(width) + 0x1p-22) + 0x1p-23) * SCALE;
      }
    }
    Tensor logits = tensor(dtype, values, rows, width);
    Tensor got = unwritten(DType.FLOAT32, rows);
    CrossEntropyKernels.forward(got, logits, ints(targets), SCALE, false);
    assertWithin(losses, lossBounds, got, what);
    assertSame(values, logits, what + ": logits stay");
    float[] first = floats(got);
    Tensor moved = misplaced(dtype, values, rows, width);
    CrossEntropyKernels.forward(got, logits, ints(targets), SCALE, true);
    assertSame(first, got, what + ": the same losses");
    assertWithin(gradients, bounds, logits, what + " gradient");
    CrossEntropyKernels.forward(got, moved, ints(targets), SCALE, true);
    assertWithin(losses, lossBounds, got, what + " misplaced");
    assertWithin(gradients, bounds, moved, what + " gradient misplaced");
  }

  /** Against the loss of capped logits, which float64 has; a tangent is within 2 ulp of float32. */
  @ParameterizedTest
  @EnumSource(names = {"FLOAT32", "BFLOAT16", "FLOAT16"})
  void ofLogitsWithACapIsTheDefinition(DType dtype) {
    double cap = 2.5;
    for (int width : new int[] {1, 3, 17, 576, 4099}) {
      int rows = 3;
      float[] values = gaussian(dtype, width, rows * width);
      int[] targets = new Random(3).ints(rows, 0, width).toArray();
      double[] losses = new double[rows];
      double[] lossBounds = new double[rows];
      double[] gradients = new double[values.length];
      double[] bounds = new double[values.length];
      for (int r = 0; r < rows; r++) {
        double sum = 0;
        for (int c = 0; c < width; c++) {
          sum += Math.exp(cap * Math.tanh(values[r * width + c] / cap));
        }
        losses[r] = Math.log(sum) - cap * Math.tanh(values[r * width + targets[r]] / cap);
        lossBounds[r] = logError(width) + 8 * cap * 0x1p-24;
        for (int c = 0; c < width; c++) {
          int i = r * width + c;
          double t = Math.tanh(values[i] / cap);
          double p = Math.exp(cap * t) / sum;
          gradients[i] = (p - (c == targets[r] ? 1 : 0)) * SCALE * (1 - t * t);
          double smallest = dtype == DType.FLOAT16 ? 0x1p-25 : 1e-44;
          bounds[i] = 1.01 * unit(dtype) * Math.abs(gradients[i]) + smallest;
          bounds[i] += (p * (lossBounds[r] + 0x1p-21) + 0x1p-21) * SCALE;
        }
      }
      Tensor logits = tensor(dtype, values, rows, width);
      Tensor got = unwritten(DType.FLOAT32, rows);
      CrossEntropyKernels.forwardCapped(got, logits, ints(targets), SCALE, false, cap);
      assertWithin(losses, lossBounds, got, dtype + " " + width);
      assertSame(values, logits, "logits stay");
      CrossEntropyKernels.forwardCapped(got, logits, ints(targets), SCALE, true, cap);
      assertWithin(losses, lossBounds, got, dtype + " " + width);
      assertWithin(gradients, bounds, logits, dtype + " gradient " + width);
    }
  }

  @Test
  void aSureTargetCostsNothing() {
    float[] values = new float[40];
    values[7] = 200;
    Tensor logits = tensor(DType.BFLOAT16, values, 1, 40);
    Tensor losses = unwritten(DType.FLOAT32, 1);
    CrossEntropyKernels.forward(losses, logits, ints(7), 1, true);
    assertSame(new float[] {0}, losses, "loss");
    assertSame(new float[40], logits, "gradient");
  }

  @Test
  void anImpossibleTargetCostsInfinitely() {
    float[] values = new float[40];
    values[7] = Float.NEGATIVE_INFINITY;
    Tensor losses = unwritten(DType.FLOAT32, 1);
    CrossEntropyKernels.forward(losses, tensor(DType.FLOAT32, values, 1, 40), ints(7), 1, false);
    assertSame(new float[] {Float.POSITIVE_INFINITY}, losses, "loss");
  }

  @Test
  void whatIsNoNumberIsNotHidden() {
    float inf = Float.POSITIVE_INFINITY;
    float[][] rows = {
      {0, Float.NaN, 1}, {0, inf, 1}, {-inf, -inf, -inf}, {Float.NaN, Float.NaN, Float.NaN}
    };
    for (float[] row : rows) {
      Tensor losses = unwritten(DType.FLOAT32, 1);
      CrossEntropyKernels.forward(losses, tensor(DType.FLOAT32, row, 1, 3), ints(0), 1, false);
      assertTrue(Float.isNaN(floats(losses)[0]), row[0] + " " + row[1]);
    }
  }

  @Test
  void aTargetOutsideTheVocabularyHasNoLoss() {
    Tensor losses = unwritten(DType.FLOAT32, 3);
    Tensor logits = tensor(DType.FLOAT32, new float[12], 3, 4);
    CrossEntropyKernels.forward(losses, logits, ints(-100, 1, 4), 1, true);
    float[] got = floats(losses);
    assertTrue(Float.isNaN(got[0]) && Float.isNaN(got[2]));
    assertEquals(Math.log(4), got[1], 1e-6);
  }

  /** Doubles hold sums of so few whole numbers exactly. */
  @Test
  void sumsAreAddedInDoublePrecision() {
    for (int n : new int[] {0, 1, 255, 257, 5000}) {
      float[] values = whole(5, n);
      double expected = 0.125;
      for (float value : values) {
        expected += value + 0x1p-20;
      }
      for (int i = 0; i < n; i++) {
        values[i] += 0x1p-20f;
      }
      Tensor result = scalar(0.125);
      CrossEntropyKernels.sum(result, tensor(DType.FLOAT32, values, n));
      assertEquals(expected, value(result), n + " values");
    }
  }
}
