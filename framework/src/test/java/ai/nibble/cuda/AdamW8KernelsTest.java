package ai.nibble.cuda;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import ai.nibble.cuda.AdamW8Kernels.Moment;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Tensor;
import ai.nibble.tensor.TensorException;
import java.util.Arrays;
import org.junit.jupiter.api.Test;

/** 8-bit AdamW against plain loops that look every code up by its distance. */
class AdamW8KernelsTest extends KernelTestCase {
  private static final AdamWConstants CONSTANTS =
      new AdamWConstants(0.999f, 0.1f, 0.99f, 0.01f, 0.3f, 1e-8f, -1e-2f);

  /** The dynamic map by its definition: 2^i or 2^(i+1) means a power of ten, and 0 and 1. */
  private static float[] map(boolean signed) {
    float[] map = new float[256];
    int at = 0;
    for (int i = 0; i < 7; i++) {
      int count = signed ? 1 << i : 2 << i;
      for (int k = 0; k < count; k++) {
        double mean = 0.1 + 0.9 * (k + 0.5) / count;
        float value = (float) (Math.pow(10, i - 6) * mean);
        map[at++] = value;
        if (signed) {
          map[at++] = -value;
        }
      }
    }
    map[at++] = 1;
    assertEquals(255, at);
    Arrays.sort(map);
    return map;
  }

  /** A moment on the host. */
  private record State(int[] codes, float[] absmax, float[] map) {
    State(int n, float[] map) {
      this(new int[n], new float[(n + 255) / 256], map);
    }

    float value(int i) {
      return map[codes[i]] * absmax[i / 256];
    }

    /** Nearest code of the sign; on the midpoint in float32, the one that the kernel's is. */
    void quantize(float[] values, boolean signed) {
      Arrays.fill(absmax, 0);
      for (int i = 0; i < values.length; i++) {
        absmax[i / 256] = Math.max(absmax[i / 256], Math.abs(values[i]));
      }
      for (int i = 0; i < values.length; i++) {
        float x = absmax[i / 256] > 0 ? values[i] / absmax[i / 256] : 0;
        int code = 0;
        while (code < 255 && x > (map[code] + map[code + 1]) * 0.5f) {
          code++;
        }
        if (signed && x < 0 && map[code] >= 0) {
          code--;
        }
        codes[i] = signed && x > 0 && map[code] < 0 ? code + 1 : code;
      }
    }
  }

  private static void reference(float[] p, float[] g, float scale, State first, State second) {
    float[] m = new float[p.length];
    float[] v = new float[p.length];
    AdamWConstants c = CONSTANTS;
    for (int i = 0; i < p.length; i++) {
      float grad = g[i] * scale;
      m[i] = Math.fma(c.weight1(), grad - first.value(i), first.value(i));
      v[i] = Math.fma(c.weight2() * grad, grad, second.value(i) * c.beta2());
      float denominator = (float) Math.sqrt(v[i]) / c.correction2() + c.eps();
      p[i] = p[i] * c.decay() + c.negativeStepSize() * m[i] / denominator;
    }
    first.quantize(m, true);
    second.quantize(v, false);
  }

  private Moment moment(State state) {
    Tensor codes = scope.own(Tensor.empty(DType.UINT8, state.codes.length));
    for (int i = 0; i < state.codes.length; i++) {
      codes.bytes(i, 1).put(0, (byte) state.codes[i]);
    }
    return new Moment(
        codes,
        tensor(DType.FLOAT32, state.absmax, state.absmax.length),
        tensor(DType.FLOAT32, state.map, 256));
  }

  private static int[] codes(Moment moment) {
    int[] codes = new int[(int) moment.codes().numel()];
    for (int i = 0; i < codes.length; i++) {
      codes[i] = moment.codes().bytes(i, 1).get(0) & 0xff;
    }
    return codes;
  }

  @Test
  void updatesAreThoseOfTheDefinition() {
    for (int n : new int[] {0, 1, 255, 256, 257, 5000, 10000}) {
      float[] param = gaussian(DType.FLOAT32, 1, n);
      State first = new State(n, map(true));
      State second = new State(n, map(false));
      Tensor params = tensor(DType.FLOAT32, param, n);
      Moment moment1 = moment(first);
      Moment moment2 = moment(second);
      Tensor factor = tensor(DType.FLOAT32, new float[] {0.5f, 1}, 2);
      for (int step = 0; step < 3; step++) {
        float[] grad = gaussian(DType.FLOAT32, 2 + step, n);
        for (int i = 0; i < n; i++) {
          grad[i] *= i % 7 == 0 ? 1e-4f : i % 5 == 0 ? 0 : 1;
        }
        Tensor grads = tensor(DType.FLOAT32, grad, n);
        AdamW8Kernels.update(params, grads, moment1, moment2, factor, CONSTANTS);
        reference(param, grad, 0.5f, first, second);
        String what = n + " elements, step " + step;
        assertSame(param, params, what);
        assertSame(first.absmax, moment1.absmax(), what);
        assertSame(second.absmax, moment2.absmax(), what);
        assertArrayEquals(first.codes, codes(moment1), what);
        assertArrayEquals(second.codes, codes(moment2), what);
      }
    }
  }

  /** Values half way between two of the map's, in float32: of both codes the even one. */
  @Test
  void onAMidpointTheEvenCodeIsTaken() {
    float[] map = map(true);
    float[] grad = new float[256];
    int[] expected = new int[256];
    for (int i = 0; i < 255; i++) {
      grad[i] = (map[i] + map[i + 1]) * 0.5f;
      int even = i % 2 == 0 ? i : i + 1;
      // never of another sign
      expected[i] = grad[i] < 0 && map[even] >= 0 ? even - 1 : even;
      expected[i] += grad[i] > 0 && map[expected[i]] < 0 ? 1 : 0;
    }
    grad[255] = 1; // the greatest of the block
    expected[255] = 255;
    Moment moment = moment(new State(256, map));
    // beta1 of 0: the moment is the gradient
    AdamWConstants constants = new AdamWConstants(1, 1, 0.99f, 0.01f, 1, 1e-8f, -1e-2f);
    AdamW8Kernels.update(
        tensor(DType.FLOAT32, new float[256], 256),
        tensor(DType.FLOAT32, grad, 256),
        moment,
        moment(new State(256, map(false))),
        tensor(DType.FLOAT32, new float[] {1, 1}, 2),
        constants);
    assertArrayEquals(expected, codes(moment));
  }

  @Test
  void aForbiddenStepWritesNothing() {
    State first = new State(10, map(true));
    Arrays.fill(first.codes, 77);
    float[] param = gaussian(DType.FLOAT32, 5, 10);
    Tensor params = tensor(DType.FLOAT32, param, 10);
    Moment moment = moment(first);
    AdamW8Kernels.update(
        params,
        tensor(DType.FLOAT32, param, 10),
        moment,
        moment(new State(10, map(false))),
        tensor(DType.FLOAT32, new float[] {1, 0}, 2),
        CONSTANTS);
    assertSame(param, params, "parameters");
    assertArrayEquals(first.codes, codes(moment));
  }

  @Test
  void statesThatDoNotFitAreNamed() {
    Moment moment = moment(new State(300, map(true)));
    Tensor param = tensor(DType.FLOAT32, new float[200], 200);
    Tensor factor = tensor(DType.FLOAT32, new float[2], 2);
    assertEquals(
        "adamw8: first.codes is uint8[300], expected 200 elements",
        assertThrows(
                TensorException.class,
                () -> AdamW8Kernels.update(param, param, moment, moment, factor, CONSTANTS))
            .getMessage());
  }
}
