package ai.nibble.optim;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.InvalidInputException;
import com.fasterxml.jackson.databind.JsonNode;
import java.nio.ByteBuffer;
import java.nio.FloatBuffer;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.Test;

class AdamWTest extends OptimizerContract {
  @Override
  HostOptimizer create(int elements) {
    return new AdamW(new AdamWConfig(0.9, 0.999, 1e-8, 0.01), elements);
  }

  @Test
  void twentyUpdatesHaveTheBitsOfTorch() {
    int compared = 0;
    for (JsonNode kase : Golden.read("adamw")) {
      AdamWConfig config =
          new AdamWConfig(
              kase.get("beta1").doubleValue(),
              kase.get("beta2").doubleValue(),
              kase.get("eps").doubleValue(),
              kase.get("weight_decay").doubleValue());
      int n = kase.get("n").intValue();
      FloatBuffer params = flat(Golden.values(kase.get("param_seed").longValue(), n, 1));
      AdamW adamW = new AdamW(config, n);
      for (int step = 1; step <= 20; step++) {
        double scale = kase.get("grad_scale").doubleValue();
        float[] grads = Golden.values(kase.get("grad_seed").longValue() + step, n, scale);
        adamW.step(params, flat(grads), kase.get("lr").doubleValue() * (1 - step / 40.0));
        JsonNode after = kase.get("after").get(String.valueOf(step));
        if (after != null) {
          String where = kase.get("param_seed") + " step " + step + " ";
          Map<String, FloatBuffer> state = adamW.state().buffers();
          assertEquals(
              after.get("m").textValue(), Golden.hex(array(state.get("exp_avg")), n), where + "m");
          assertEquals(
              after.get("v").textValue(),
              Golden.hex(array(state.get("exp_avg_sq")), n),
              where + "v");
          assertEquals(after.get("param").textValue(), Golden.hex(array(params), n), where + "p");
          assertNearPlainTorch(after.get("plain_param").textValue(), params, kase, step);
          compared++;
        }
      }
    }
    assertEquals(32, compared);
  }

  /**
   * MKL's square root is up to one ulp off: each step's change, at most about lr·√(1/(1−β2)), may
   * differ by three roundings and the sum by one of its own.
   */
  private static void assertNearPlainTorch(
      String hex, FloatBuffer params, JsonNode kase, int steps) {
    double change = kase.get("lr").doubleValue() / Math.sqrt(1 - kase.get("beta2").doubleValue());
    FloatBuffer plain = ByteBuffer.wrap(HexFormat.of().parseHex(hex)).asFloatBuffer();
    for (int i = 0; i < plain.limit(); i++) {
      double tolerance = steps * (change * 3 * 0x1p-23 + Math.ulp(plain.get(i)));
      assertEquals(plain.get(i), params.get(i), tolerance);
    }
  }

  @Test
  void theFastPathHasTheBitsOfTheReference() {
    Random random = new Random(5);
    // lengths around the chunk and the parallel range, both branches of lerp, sizes of every order
    for (int n : new int[] {1, 7, 4095, 4097, FlatFloats.GRAIN - 1, 3 * FlatFloats.GRAIN + 13}) {
      for (double beta1 : new double[] {0.9, 0.3}) {
        AdamWConfig config = new AdamWConfig(beta1, 0.97, 1e-8, 0.1);
        float[] p = normal(random, n, 1);
        float[] m = new float[n];
        float[] v = new float[n];
        AdamW adamW = new AdamW(config, n);
        FloatBuffer params = flat(p);
        for (int step = 1; step <= 3; step++) {
          float[] g = normal(random, n, Math.pow(10, random.nextInt(20) - 14));
          double lr = random.nextDouble();
          AdamWUpdate.of(config, 0.1, lr, step).reference(p, g, m, v);
          adamW.step(params, flat(g), lr);
        }
        assertArrayEquals(p, array(params));
        assertArrayEquals(m, array(adamW.state().buffers().get("exp_avg")));
        assertArrayEquals(v, array(adamW.state().buffers().get("exp_avg_sq")));
        assertEquals(3, adamW.state().step());
      }
    }
  }

  @Test
  void aRangeHasItsOwnRateAndDecay() {
    int n = 100_003;
    int cut = 70_001;
    float[] start = normal(new Random(1), n, 1);
    float[] grads = normal(new Random(2), n, 0.1);
    AdamWConfig config = AdamWConfig.DEFAULT;
    FloatBuffer params = flat(start);
    AdamW adamW =
        new AdamW(
            config, List.of(new ParameterRange(0, cut, 1, 0.5), new ParameterRange(cut, n, 16, 0)));
    adamW.step(params, flat(grads), 1e-3);

    FloatBuffer slow = flat(start);
    new AdamW(new AdamWConfig(0.9, 0.999, 1e-8, 0.5), n).step(slow, flat(grads), 1e-3);
    FloatBuffer fast = flat(start);
    new AdamW(config, n).step(fast, flat(grads), 16e-3);
    for (int i = 0; i < n; i++) {
      assertEquals((i < cut ? slow : fast).get(i), params.get(i));
    }
  }

  @Test
  void aForeignStateIsRefusedWithAllProblems() {
    AdamW adamW = new AdamW(AdamWConfig.DEFAULT, 4);
    OptimizerState foreign = new OptimizerState(3, Map.of("exp_avg", FloatBuffer.allocate(3)));
    InvalidInputException e =
        assertThrows(InvalidInputException.class, () -> adamW.restore(foreign));
    assertEquals(2, e.problems().size());
    assertEquals(
        "saved optimizer state 'exp_avg' holds 3 values, expected 4: resume with the adapter"
            + " settings that saved it",
        e.problems().get(0));
    assertEquals(0, adamW.state().step());
  }

  @Test
  void rangesMustCoverTheBufferInOrder() {
    ParameterRange late = new ParameterRange(5, 9, 1, 0);
    assertThrows(
        IllegalArgumentException.class, () -> new AdamW(AdamWConfig.DEFAULT, List.of(late)));
    assertThrows(IllegalArgumentException.class, () -> new ParameterRange(3, 3, 1, 0));
    assertThrows(IllegalArgumentException.class, () -> new ParameterRange(0, 3, Double.NaN, 0));
  }

  @Test
  void constantsOutOfRangeAreRefusedByName() {
    Exception e =
        assertThrows(IllegalArgumentException.class, () -> new AdamWConfig(1, 0.999, 1e-8, 0));
    assertEquals("adam_beta1 is 1.0, expected 0 to below 1", e.getMessage());
    assertThrows(IllegalArgumentException.class, () -> new AdamWConfig(0.9, -1, 1e-8, 0));
    assertThrows(IllegalArgumentException.class, () -> new AdamWConfig(0.9, 0.9, 0, 0));
    assertThrows(IllegalArgumentException.class, () -> new AdamWConfig(0.9, 0.9, 1, Double.NaN));
  }

  @Test
  void notANumberInAGradientStaysVisible() {
    AdamW adamW = new AdamW(AdamWConfig.DEFAULT, 2);
    FloatBuffer params = flat(new float[] {1, 2});
    adamW.step(params, flat(new float[] {Float.NaN, 1}), 0.1);
    assertTrue(Float.isNaN(params.get(0)));
    assertEquals(1.9f, params.get(1));
  }
}
