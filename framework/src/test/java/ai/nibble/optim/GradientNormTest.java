package ai.nibble.optim;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import java.math.BigDecimal;
import java.math.MathContext;
import java.nio.ByteBuffer;
import java.nio.FloatBuffer;
import java.util.HexFormat;
import java.util.Random;
import java.util.concurrent.ForkJoinPool;
import org.junit.jupiter.api.Test;

class GradientNormTest {
  private static FloatBuffer flat(float[] values) {
    FloatBuffer buffer = FlatFloats.allocate(values.length);
    buffer.put(0, values);
    return buffer;
  }

  @Test
  void clippingIsThatOfTorch() {
    int compared = 0;
    for (JsonNode kase : Golden.read("clips")) {
      int n = kase.get("n").intValue();
      double scale = kase.get("scale").doubleValue();
      FloatBuffer grads = flat(Golden.values(kase.get("seed").longValue(), n, scale));
      double norm = GradientNorm.clip(grads, kase.get("max_norm").doubleValue());
      double expected = kase.get("norm").doubleValue();
      // torch sums in float32, in some tree: log2(5000) roundings of half an ulp, halved by √
      assertEquals(expected, norm, expected * 13 * 0x1p-25);
      byte[] head = HexFormat.of().parseHex(kase.get("head").textValue());
      FloatBuffer reference = ByteBuffer.wrap(head).asFloatBuffer();
      for (int i = 0; i < reference.limit(); i++) {
        // the norm's error, then three roundings of its use
        double tolerance = Math.abs(reference.get(i)) * (13 * 0x1p-25 + 3 * 0x1p-24);
        assertEquals(reference.get(i), grads.get(i), tolerance);
      }
      compared++;
    }
    assertEquals(5, compared);
  }

  @Test
  void theNormIsExactToDoublePrecision() {
    Random random = new Random(11);
    for (int n : new int[] {0, 1, 9, 4097, FlatFloats.GRAIN + 5}) {
      float[] values = new float[n];
      BigDecimal sum = BigDecimal.ZERO;
      for (int i = 0; i < n; i++) {
        values[i] = (float) (random.nextGaussian() * Math.pow(2, random.nextInt(40) - 20));
        sum = sum.add(new BigDecimal(values[i]).pow(2));
      }
      double exact = sum.sqrt(MathContext.DECIMAL64).doubleValue();
      // positive terms: the relative error of a sum of n is at most n/8 roundings a lane
      assertEquals(exact, GradientNorm.of(flat(values)), exact * (n / 8 + 8) * 0x1p-53);
    }
  }

  @Test
  void theNormHasTheSameBitsForAnyNumberOfThreads() throws Exception {
    Random random = new Random(12);
    float[] values = new float[5 * FlatFloats.GRAIN + 77];
    for (int i = 0; i < values.length; i++) {
      values[i] = random.nextFloat();
    }
    FloatBuffer grads = flat(values);
    double here = GradientNorm.of(grads);
    for (int threads : new int[] {1, 3, 8}) {
      ForkJoinPool pool = new ForkJoinPool(threads);
      try {
        assertEquals(here, pool.submit(() -> GradientNorm.of(grads)).get());
      } finally {
        pool.shutdown();
      }
    }
  }

  @Test
  void squaresThatOverflowFloat32DoNotOverflowTheNorm() {
    assertEquals(5e30, GradientNorm.of(flat(new float[] {3e30f, 4e30f})), 5e30 * 0x1p-23);
  }

  @Test
  void anInfiniteGradientGivesAnInfiniteNormAndZeroesTheRest() {
    FloatBuffer grads = flat(new float[] {Float.POSITIVE_INFINITY, 1});
    assertEquals(Double.POSITIVE_INFINITY, GradientNorm.clip(grads, 1));
    assertTrue(Float.isNaN(grads.get(0)));
    assertEquals(0, grads.get(1));
  }

  @Test
  void aSmallNormLeavesTheGradientsAlone() {
    float[] values = {0.1f, -0.2f, 0};
    FloatBuffer grads = flat(values);
    GradientNorm.clip(grads, 1);
    float[] after = new float[3];
    grads.get(0, after);
    assertArrayEquals(values, after);
  }

  @Test
  void aMaximumNormOfZeroIsRefused() {
    assertThrows(IllegalArgumentException.class, () -> GradientNorm.clip(flat(new float[1]), 0));
  }
}
