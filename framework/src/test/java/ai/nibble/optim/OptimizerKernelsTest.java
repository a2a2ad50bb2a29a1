package ai.nibble.optim;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import ai.nibble.cuda.KernelTestCase;
import ai.nibble.cuda.OptimizerKernels;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Tensor;
import ai.nibble.tensor.TensorException;
import java.nio.FloatBuffer;
import org.junit.jupiter.api.Test;

/** The optimizer's kernels give the bits of the passes on the CPU. */
class OptimizerKernelsTest extends KernelTestCase {
  private static final int[] LENGTHS = {0, 1, 3, 17, 1000, 65536, 150001};

  private Tensor flat(float[] values) {
    return tensor(DType.FLOAT32, values, values.length);
  }

  @Test
  void sumsOfSquaresHaveTheBitsOfTheCpu() {
    for (int n : LENGTHS) {
      float[] values = gaussian(DType.FLOAT32, n, n);
      Tensor result = scalar(Double.NaN);
      OptimizerKernels.sumOfSquares(result, flat(values));
      assertEquals(FlatFloats.sumOfSquares(FloatBuffer.wrap(values)), value(result), "of " + n);
    }
  }

  @Test
  void sumsAreRoundedOnce() {
    for (int n : new int[] {0, 1, 3, 1000, 4099}) {
      float[] a = gaussian(DType.FLOAT32, 1, n);
      float[] b = gaussian(DType.FLOAT32, 2, n);
      Tensor into = flat(a);
      Tensor moved = misplaced(DType.FLOAT32, a, n);
      FlatFloats.add(FloatBuffer.wrap(a), FloatBuffer.wrap(b));
      OptimizerKernels.add(into, flat(b));
      assertSame(a, into, "of " + n);
      OptimizerKernels.add(moved, flat(b));
      assertSame(a, moved, "misplaced " + n);
    }
  }

  private float[] factor(double norm, Double loss, double maxNorm) {
    Tensor factor = flat(new float[2]);
    Tensor losses = loss == null ? null : scalar(loss);
    OptimizerKernels.clipFactor(factor, scalar(norm * norm), losses, maxNorm);
    return floats(factor);
  }

  @Test
  void clippingFactorIsTheCpus() {
    for (double norm : new double[] {0, 1e-3, 0.25, 0.999, 1, 1.0001, 3, 1234.5, 1e30}) {
      for (double maxNorm : new double[] {0.3, 1, 7}) {
        float[] factor = factor(norm, 2.5, maxNorm);
        double root = Math.sqrt(norm * norm);
        assertEquals(GradientNorm.coefficient(root, maxNorm), factor[0], norm + " " + maxNorm);
        assertEquals(1, factor[1]);
      }
      assertEquals(1, factor(norm, null, 0)[0], "no clipping");
    }
  }

  @Test
  void whatIsNotFiniteForbidsTheStep() {
    double inf = Double.POSITIVE_INFINITY;
    assertEquals(0, factor(Double.NaN, 1.0, 1)[1]);
    assertEquals(0, factor(inf, 1.0, 1)[1]);
    assertEquals(0, factor(inf, null, 0)[1]);
    assertEquals(0, factor(1, Double.NaN, 1)[1]);
    assertEquals(0, factor(1, -inf, 1)[1]);
    assertEquals(1, factor(1, null, 1)[1]);
  }

  private static void update(
      AdamWUpdate u, Tensor param, Tensor grad, Tensor m, Tensor v, Tensor factor) {
    OptimizerKernels.adamW(param, grad, m, v, factor, u.constants());
  }

  @Test
  void updatesHaveTheBitsOfTheCpu() {
    // beta1 of 0.4 takes the other branch of the interpolation
    for (double beta1 : new double[] {0.9, 0.4}) {
      AdamWConfig config = new AdamWConfig(beta1, 0.999, 1e-8, 0.01);
      for (int n : new int[] {0, 1, 3, 1000, 4099}) {
        float[] param = gaussian(DType.FLOAT32, 1, n);
        float[] m = new float[n];
        float[] v = new float[n];
        Tensor params = flat(param);
        Tensor moved = misplaced(DType.FLOAT32, param, n);
        Tensor expAvg = flat(m);
        Tensor expAvgSq = flat(v);
        Tensor expAvgMoved = flat(m);
        Tensor expAvgSqMoved = flat(v);
        for (int step = 1; step <= 3; step++) {
          AdamWUpdate u = AdamWUpdate.of(config, 0.01, 1e-3, step);
          float[] grad = gaussian(DType.FLOAT32, 10 + step, n);
          Tensor grads = flat(grad);
          Tensor factor = flat(new float[] {0.3f, 1});
          update(u, params, grads, expAvg, expAvgSq, factor);
          update(u, moved, grads, expAvgMoved, expAvgSqMoved, factor);
          FlatFloats.scale(FloatBuffer.wrap(grad), 0.3f);
          u.fused(param, grad, m, v, n);
          String what = "beta1 " + beta1 + ", " + n + ", step " + step;
          assertSame(param, params, what);
          assertSame(param, moved, what + " misplaced");
          assertSame(m, expAvg, what + " m");
          assertSame(v, expAvgSq, what + " v");
          assertSame(v, expAvgSqMoved, what + " v misplaced");
        }
      }
    }
  }

  @Test
  void aForbiddenStepWritesNothing() {
    AdamWUpdate u = AdamWUpdate.of(new AdamWConfig(0.9, 0.999, 1e-8, 0.01), 0.01, 1e-3, 1);
    float[] values = gaussian(DType.FLOAT32, 1, 100);
    Tensor param = flat(values);
    Tensor m = flat(values);
    Tensor v = flat(values);
    update(u, param, flat(values), m, v, flat(new float[] {Float.NaN, 0}));
    assertSame(values, param, "param");
    assertSame(values, m, "m");
    assertSame(values, v, "v");
  }

  @Test
  void lengthsThatDifferAreNamed() {
    Tensor three = flat(new float[3]);
    Tensor four = flat(new float[4]);
    assertEquals(
        "optimizer_add: from is float32[4], expected 3 elements",
        assertThrows(TensorException.class, () -> OptimizerKernels.add(three, four)).getMessage());
  }
}
