package ai.nibble.lora;

import static org.junit.jupiter.api.Assertions.assertEquals;

import ai.nibble.nn.LowRank;
import ai.nibble.nn.Parameter;
import ai.nibble.nn.ParameterSet;
import java.nio.FloatBuffer;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.Test;

class UpdateNormTest {
  private static final int R = 3;
  private static final int IN = 7;
  private static final int OUT = 5;

  private static float[] fill(Parameter parameter, Random random) {
    float[] values = new float[(int) parameter.value().numel()];
    for (int i = 0; i < values.length; i++) {
      values[i] = (float) random.nextGaussian();
    }
    parameter.value().setFloats(FloatBuffer.wrap(values));
    return values;
  }

  @Test
  void itIsTheNormOfTheWholeUpdate() {
    Map<String, long[]> shapes = new LinkedHashMap<>();
    shapes.put("a", new long[] {R, IN});
    shapes.put("b", new long[] {OUT, R});
    try (ParameterSet parameters = new ParameterSet(shapes)) {
      LowRank update = new LowRank(parameters.get("a"), parameters.get("b"), 2, 0);
      assertEquals(0, UpdateNorm.of(update), "B is zero");
      Random random = new Random(1);
      float[] a = fill(parameters.get("a"), random);
      float[] b = fill(parameters.get("b"), random);
      double squared = 0;
      for (int o = 0; o < OUT; o++) {
        for (int i = 0; i < IN; i++) {
          double sum = 0;
          for (int k = 0; k < R; k++) {
            sum += (double) b[o * R + k] * a[k * IN + i];
          }
          squared += sum * sum;
        }
      }
      double expected = 2 * Math.sqrt(squared);
      // float32 sums of at most 7 products, each entry within 7 · 2^-24 of its terms' sizes, which
      // the norm of 35 entries averages: a few units in the seventh digit
      assertEquals(expected, UpdateNorm.of(update), 1e-6 * expected);
    }
  }
}
