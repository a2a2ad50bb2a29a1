package ai.nibble.quant;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.tensor.DType;
import ai.nibble.tensor.Tensor;
import java.util.Random;
import org.junit.jupiter.api.Test;

/**
 * The error that bitsandbytes' own tests expect of NF4 on 1024 × 1024 values of N(0, 1), by block
 * size 32 … 4096: mean |error| and mean |error| / (|value| + 1e-8), each within seven standard
 * deviations of what a run of that many values varies by.
 */
class Quant4AccuracyTest {
  private static final double[] ABSOLUTE = {
    .067746, .072798, .076831, .080337, .083547, .086610, .089592, .092547
  };
  private static final double[] RELATIVE = {.1897, .2033, .2152, .2261, .2361, .2454, .2542, .2625};
  private static final int N = 1024 * 1024;

  private static float[] normal(long seed) {
    Random random = new Random(seed);
    float[] values = new float[N];
    for (int k = 0; k < N; k++) {
      values[k] = (float) random.nextGaussian();
    }
    return values;
  }

  private static double[] errors(float[] values, Quant4Config config) {
    try (Tensor w = Tensor.of(values, 1024, 1024);
        Quantized4Bit q = Quantizer4Bit.quantize("w", w, config);
        Tensor back = Tensor.empty(DType.FLOAT32, 1024, 1024)) {
      q.dequantize(back);
      float[] decoded = back.toFloats();
      double absolute = 0;
      double relative = 0;
      for (int k = 0; k < N; k++) {
        double error = Math.abs(decoded[k] - values[k]);
        absolute += error;
        relative += error / (Math.abs(values[k]) + 1e-8);
      }
      return new double[] {absolute / N, relative / N};
    }
  }

  @Test
  void nf4ErrorOnNormalValuesIsTheKnownOneForEveryBlockSize() {
    float[] values = normal(41);
    for (int k = 0; k < 8; k++) {
      double[] plain = errors(values, new Quant4Config(Quant4Type.NF4, 32 << k, false));
      // Standard deviations of the mean absolute error grow from 6.9e-5 to 3.6e-4 with the block.
      double sigma = 6.9e-5 + (3.6e-4 - 6.9e-5) * k / 7;
      assertEquals(ABSOLUTE[k], plain[0], 7 * sigma, "block size " + (32 << k));
      assertEquals(RELATIVE[k], plain[1], 7 * 3 * sigma, "block size " + (32 << k));
    }
  }

  @Test
  void doubleQuantisationStaysBelowBitsandbytesBounds() {
    float[] values = normal(42);
    for (int k = 0; k < 8; k++) {
      double[] doubled = errors(values, new Quant4Config(Quant4Type.NF4, 32 << k, true));
      assertTrue(doubled[0] < .11 && doubled[1] < .28, "block size " + (32 << k));
    }
  }

  @Test
  void memoryIsFourBitsAndTheStatistics() {
    float[] values = normal(43);
    try (Tensor w = Tensor.of(values, 1024, 1024);
        Quantized4Bit plain =
            Quantizer4Bit.quantize("w", w, new Quant4Config(Quant4Type.NF4, 64, false));
        Quantized4Bit doubled =
            Quantizer4Bit.quantize("w", w, new Quant4Config(Quant4Type.NF4, 64, true))) {
      assertEquals(N / 2 + N / 64 * 4, plain.bytes());
      assertEquals(N / 2 + N / 64 + N / 64 / 256 * 4, doubled.bytes());
    }
  }
}
