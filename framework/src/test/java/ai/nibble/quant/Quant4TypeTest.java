package ai.nibble.quant;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.InvalidInputException;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

class Quant4TypeTest {
  /** As hard-coded in bitsandbytes' CUDA kernel. */
  private static final float[] NF4_THRESHOLDS = {
    -0.8480964004993439f, -0.6106329262256622f, -0.4599952697753906f, -0.33967943489551544f,
    -0.23460740596055984f, -0.13791173323988914f, -0.045525018125772476f, 0.03979014977812767f,
    0.1202552504837513f, 0.2035212516784668f, 0.2920137718319893f, 0.3893125355243683f,
    0.5016634166240692f, 0.6427869200706482f, 0.8614784181118011f
  };

  /**
   * To the last bit but one: some midpoints need 25 bits, where the sum rounds to even and the
   * decimal constants, cut to 16 digits, to either side. bitsandbytes' other backends compute them
   * as we do.
   */
  @Test
  void nf4ThresholdsAreTheConstantsOfTheCudaKernel() {
    float[] thresholds = Quant4Type.NF4.thresholds();
    for (int rank = 0; rank < 15; rank++) {
      float constant = NF4_THRESHOLDS[rank];
      assertEquals(constant, thresholds[rank], Math.ulp(constant));
    }
  }

  @Test
  void fp4CodesAreE2M1OverTwelve() {
    float[] magnitudes = {0f, 1 / 192f, 2 / 3f, 1f, 1 / 3f, 1 / 2f, 1 / 6f, 1 / 4f};
    float[] codes = Quant4Type.FP4.codes();
    for (int c = 0; c < 8; c++) {
      assertEquals(magnitudes[c], codes[c]);
      assertEquals(0f - magnitudes[c], codes[c + 8]);
    }
  }

  @ParameterizedTest
  @EnumSource
  void everyCodeQuantizesToItselfAndRanksAscend(Quant4Type type) {
    float[] codes = type.codes();
    for (int rank = 1; rank < 16; rank++) {
      assertTrue(codes[type.codeOfRank(rank)] >= codes[type.codeOfRank(rank - 1)]);
    }
    for (int c = 0; c < 16; c++) {
      boolean secondZero = type == Quant4Type.FP4 && c == 8;
      assertEquals(secondZero ? 0 : c, CodeTable.of(type).code(codes[c]));
    }
  }

  @ParameterizedTest
  @EnumSource
  void tableLookupEqualsCountingThresholds(Quant4Type type) {
    CodeTable table = CodeTable.of(type);
    for (float threshold : type.thresholds()) {
      float x = threshold;
      for (int k = 0; k < 200; k++) {
        x = Math.nextDown(x);
      }
      for (int k = 0; k < 400; k++, x = Math.nextUp(x)) {
        assertEquals(ReferenceQuant4.code(type, x), table.code(x), "at " + x);
      }
    }
    Random random = new Random(5);
    for (int k = 0; k < 300_000; k++) {
      float x = random.nextFloat() * 2 - 1;
      float tiny = x * x * x * 0.01f;
      assertEquals(ReferenceQuant4.code(type, x), table.code(x), "at " + x);
      assertEquals(ReferenceQuant4.code(type, tiny), table.code(tiny), "at " + tiny);
    }
    for (float x : new float[] {-1.0000001f, -1f, -0f, 0f, Float.MIN_VALUE, 1f, 1.0000001f}) {
      assertEquals(ReferenceQuant4.code(type, x), table.code(x), "at " + x);
    }
  }

  @Test
  void anUnknownTypeIsRefusedInOneLine() {
    InvalidInputException e = assertThrows(InvalidInputException.class, () -> Quant4Type.of("nf5"));
    assertEquals(
        "4-bit quantisation type is 'nf5', expected one of [nf4, fp4]: name one of these",
        e.getMessage());
  }

  @Test
  void blockSizesThatBitsandbytesCannotReadAreRefused() {
    for (int bad : new int[] {0, -64, 1, 16, 48, 63, 65, 8192, Integer.MIN_VALUE}) {
      InvalidInputException e =
          assertThrows(
              InvalidInputException.class, () -> new Quant4Config(Quant4Type.NF4, bad, true));
      assertTrue(e.getMessage().contains("block size is " + bad + ", expected"), e.getMessage());
    }
    assertThrows(InvalidInputException.class, () -> new Quant4Config(null, 64, true));
    for (int good = 32; good <= 4096; good *= 2) {
      assertEquals(1, new Quant4Config(Quant4Type.FP4, good, false).blocks(good));
      assertEquals(2, new Quant4Config(Quant4Type.FP4, good, false).blocks(good + 1));
    }
  }
}
