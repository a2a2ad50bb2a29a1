package ai.nibble.nn;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.autograd.Tape;
import ai.nibble.autograd.Variable;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.KernelForm;
import ai.nibble.tensor.KernelLaunchers;
import ai.nibble.tensor.Tensor;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

class EmbeddingNoiseTest extends FunctionTestCase {
  private static final int WIDTH = 64;
  private static final double ALPHA = 5;

  /** Sequences of 100 and 25 tokens: bounds of 5/80 and 5/40. */
  private static final int[] STARTS = {0, 100, 125};

  private static Pass pass(boolean training, long key) {
    return new Pass(STARTS, training, key).withEmbeddingNoise(ALPHA);
  }

  private float[] embedded(Pass pass, DType dtype) {
    DenseWeight table = scope.own(new DenseWeight(Tensor.zeros(DType.FLOAT32, 3, WIDTH)));
    try (Tape tape = Tape.inference()) {
      return tape.apply(new Embedding(table, new int[125], pass, Precision.of(dtype), 1))
          .value()
          .toFloats();
    }
  }

  /** The mean square of a uniform draw on ±b is b²/3; of 1600 draws it is off by 2 % at most. */
  @Test
  void noiseIsUniformWithinTheBoundOfItsSequence() {
    float[] noise = embedded(pass(true, 7), DType.FLOAT32);
    for (int s = 0; s < 2; s++) {
      double bound = ALPHA / Math.sqrt((STARTS[s + 1] - STARTS[s]) * (double) WIDTH);
      float[] own = Arrays.copyOfRange(noise, STARTS[s] * WIDTH, STARTS[s + 1] * WIDTH);
      double squares = 0;
      double sum = 0;
      double largest = 0;
      for (float v : own) {
        squares += v * v;
        sum += v;
        largest = Math.max(largest, Math.abs(v));
      }
      assertEquals(bound * bound / 3, squares / own.length, 0.08 * bound * bound / 3);
      assertEquals(0, sum / own.length, 4 * bound / Math.sqrt(3.0 * own.length));
      assertTrue(largest <= bound && largest > 0.99 * bound, largest + " of " + bound);
    }
  }

  @Test
  void theKeyDecidesAndNothingElse() {
    float[] noise = embedded(pass(true, 7), DType.FLOAT32);
    assertArrayEquals(noise, embedded(pass(true, 7), DType.FLOAT32));
    assertNotEquals(noise[0], embedded(pass(true, 8), DType.FLOAT32)[0]);
    assertTrue(embedded(pass(true, 7), DType.BFLOAT16)[0] != 0);
  }

  /**
   * The kernel, compiled for the host and composed, gives the CPU's bits, of rows whole and in
   * single elements; the widest rows are composed in two parts.
   */
  @ParameterizedTest
  @EnumSource
  void kernelsAddTheSameNoise(KernelForm form) {
    for (DType dtype : List.of(DType.FLOAT32, DType.BFLOAT16, DType.FLOAT16)) {
      kernelsAddTheSameNoise(form, dtype, WIDTH);
      kernelsAddTheSameNoise(form, dtype, 37);
    }
    kernelsAddTheSameNoise(form, DType.BFLOAT16, 20_001);
  }

  private static void kernelsAddTheSameNoise(KernelForm form, DType dtype, int width) {
    float[] values = new float[125 * width];
    for (int i = 0; i < values.length; i++) {
      values[i] = (i % 89 - 44) / 32f;
    }
    float[] expected = noisy(values, width, dtype);
    KernelLaunchers.Installation kernels = form.install();
    try (kernels) {
      assertArrayEquals(expected, noisy(values, width, dtype), dtype + " " + width);
    }
  }

  private static float[] noisy(float[] values, int width, DType dtype) {
    try (Tensor wide = Tensor.of(values, 125, width);
        Tensor rows = wide.to(dtype)) {
      EmbeddingNoise.add(rows, pass(true, 7));
      return rows.toFloats();
    }
  }

  @Test
  void evaluationsHaveNone() {
    assertArrayEquals(new float[125 * WIDTH], embedded(pass(false, 7), DType.FLOAT32));
  }

  /** It is a constant: a trained table's gradient is that of the rows. */
  @Test
  void gradientsPassThrough() {
    Map<String, long[]> shapes = new LinkedHashMap<>();
    shapes.put("table", new long[] {3, WIDTH});
    ParameterSet parameters = scope.own(new ParameterSet(shapes));
    DenseWeight table = scope.own(new DenseWeight(parameters.get("table")));
    int[] ids = new int[125];
    ids[3] = 2;
    try (Tape tape = Tape.recording()) {
      Variable rows =
          tape.apply(new Embedding(table, ids, pass(true, 7), Precision.of(DType.FLOAT32), 1));
      float[] ones = new float[125 * WIDTH];
      Arrays.fill(ones, 1);
      tape.backward(rows, Tensor.of(ones, 125, WIDTH));
    }
    float[] grad = parameters.grads().toFloats();
    assertEquals(124, grad[0]);
    assertEquals(0, grad[WIDTH]);
    assertEquals(1, grad[2 * WIDTH]);
  }
}
