package ai.nibble.quant;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.InvalidInputException;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Tensor;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;

/** The oracle is the reference's float32 value, rounded by libtorch. */
class Dequantizer4BitTest {
  private static final List<DType> DTYPES = List.of(DType.FLOAT32, DType.BFLOAT16, DType.FLOAT16);

  @Test
  void fastPathEqualsTheReferenceOnEveryBit() {
    Random random = new Random(31);
    int cases = 0;
    for (Quant4Type type : Quant4Type.values()) {
      for (int blockSize = 32; blockSize <= 4096; blockSize *= 2) {
        for (int n : new int[] {0, 1, 15, 33, blockSize, 5 * blockSize + 3, 67_000, 131_072}) {
          Quant4Config config = new Quant4Config(type, blockSize, cases % 2 == 0);
          try (Quantized4Bit q = stored(config, n, random)) {
            float[] expected = reference(q);
            for (DType dtype : DTYPES) {
              assertRange(q, expected, 0, n, dtype);
              cases++;
            }
          }
        }
      }
    }
    assertEquals(2 * 8 * 8 * 3, cases);
  }

  @Test
  void anyRangeEqualsThatPartOfTheWhole() {
    Random random = new Random(32);
    int n = 150_001;
    for (int blockSize : new int[] {32, 64, 128, 1024, 4096}) {
      for (boolean doubleQuant : new boolean[] {false, true}) {
        Quant4Config config = new Quant4Config(Quant4Type.NF4, blockSize, doubleQuant);
        try (Quantized4Bit q = stored(config, n, random)) {
          float[] expected = reference(q);
          int[][] ranges = {
            {0, 16},
            {1, 1},
            {1, 2},
            {15, 2},
            {16, 31},
            {17, 2048},
            {64, 64},
            {2047, 3},
            {65_536, 65_536},
            {65_535, 70_000},
            {n - 1, 1},
            {n, 0},
            {n - 17, 17},
            {random.nextInt(n / 2), random.nextInt(n / 2)},
            {576 * 7, 576},
            {24 * 11, 24 * 5}
          };
          for (int[] range : ranges) {
            for (DType dtype : DTYPES) {
              assertRange(q, expected, range[0], range[1], dtype);
            }
          }
        }
      }
    }
  }

  @Test
  void noByteOutsideTheRangeIsWritten() {
    try (Quantized4Bit q =
            stored(new Quant4Config(Quant4Type.FP4, 64, true), 5000, new Random(33));
        Tensor all = Tensor.zeros(DType.BFLOAT16, 300);
        Tensor inside = all.narrow(0, 100, 99)) {
      q.dequantize(1234, inside);
      byte[] bytes = Bits.of(all);
      for (int k = 0; k < 600; k++) {
        assertTrue(k >= 200 && k < 398 || bytes[k] == 0, "byte " + k);
      }
    }
  }

  private static void assertRange(
      Quantized4Bit q, float[] expected, int begin, int count, DType dtype) {
    float[] part = Arrays.copyOfRange(expected, begin, begin + count);
    try (Tensor rounded = Bits.tensor(part, dtype, count);
        Tensor out = Tensor.empty(dtype, count)) {
      q.dequantize(begin, out);
      assertTrue(
          Arrays.equals(Bits.of(rounded), Bits.of(out)),
          () -> q + " as " + dtype + " from " + begin + ", " + count);
    }
  }

  private static float[] reference(Quantized4Bit q) {
    float[] absmax = new float[(int) q.config().blocks(q.numel())];
    q.absmax(0, absmax);
    byte[] packed = Bits.of(q.packed());
    float[] values = new float[(int) q.numel()];
    for (int i = 0; i < values.length; i++) {
      float scale = absmax[i / q.config().blockSize()];
      values[i] = ReferenceQuant4.value(packed, scale, q.config().type(), i);
    }
    return values;
  }

  /** A weight as a file might hold it: any codes, absmax of any finite size and sign. */
  private static Quantized4Bit stored(Quant4Config config, int n, Random random) {
    int blocks = (int) config.blocks(n);
    byte[] codes = new byte[(n + 1) / 2];
    random.nextBytes(codes);
    Tensor packed = Tensor.empty(DType.UINT8, codes.length);
    packed.bytes(0, codes.length).put(codes);
    if (!config.doubleQuant()) {
      return Quantized4Bit.of(
          "w", config, DType.BFLOAT16, new long[] {n}, packed, scales(blocks, random), null);
    }
    byte[] indices = new byte[blocks];
    random.nextBytes(indices);
    Tensor absmax = Tensor.empty(DType.UINT8, blocks);
    absmax.bytes(0, blocks).put(indices);
    float[] absmax2 = new float[(blocks + 255) / 256];
    for (int j = 0; j < absmax2.length; j++) {
      absmax2[j] = random.nextFloat();
    }
    float[] map = SignedDynamicMap.values();
    map[5] = Math.nextUp(map[5]); // a map of its own, as another machine makes it
    NestedAbsmax nested = new NestedAbsmax(absmax2, map, 0.25f);
    assertTrue(!nested.hasStandardMap());
    return Quantized4Bit.of("w", config, DType.BFLOAT16, new long[] {n}, packed, absmax, nested);
  }

  private static Tensor scales(int blocks, Random random) {
    float[] scales = new float[blocks];
    for (int b = 0; b < blocks; b++) {
      scales[b] =
          switch (random.nextInt(6)) {
            case 0 -> 0f;
            case 1 -> Float.intBitsToFloat(random.nextInt(0x7F800000));
            case 2 -> random.nextFloat() * 1e-6f; // subnormal as float16
            case 3 -> 65_504f * (1 + random.nextFloat() * 1e-3f); // at float16's edge
            default -> random.nextFloat();
          };
    }
    return Tensor.of(scales, blocks);
  }

  @Test
  void rangesAndDtypesThatCannotBeAreRefused() {
    try (Quantized4Bit q =
            stored(new Quant4Config(Quant4Type.NF4, 64, false), 100, new Random(34));
        Tensor five = Tensor.empty(DType.FLOAT32, 5);
        Tensor whole = Tensor.empty(DType.FLOAT32, 100);
        Tensor integers = Tensor.empty(DType.INT32, 100)) {
      assertThrows(IllegalArgumentException.class, () -> q.dequantize(five));
      assertThrows(IllegalArgumentException.class, () -> q.dequantize(96, five));
      assertThrows(IllegalArgumentException.class, () -> q.dequantize(-1, five));
      assertThrows(IllegalArgumentException.class, () -> q.dequantize(Long.MAX_VALUE, five));
      assertThrows(InvalidInputException.class, () -> q.dequantize(integers));
      q.dequantize(whole);
    }
  }

  @Test
  void storedPartsThatDoNotFitAreRefusedByName() {
    Quant4Config plain = new Quant4Config(Quant4Type.NF4, 64, false);
    Quant4Config doubled = new Quant4Config(Quant4Type.NF4, 64, true);
    NestedAbsmax nested = new NestedAbsmax(new float[1], SignedDynamicMap.values(), 0);
    NestedAbsmax nan = new NestedAbsmax(new float[1], SignedDynamicMap.values(), Float.NaN);
    long[] shape = {10, 13};
    try (Tensor packed = Tensor.zeros(DType.UINT8, 65, 1);
        Tensor wrongPacked = Tensor.zeros(DType.UINT8, 64, 1);
        Tensor absmax = Tensor.zeros(DType.FLOAT32, 3);
        Tensor infinite = Tensor.of(new float[] {1, 1 / 0f, 1}, 3);
        Tensor indices = Tensor.zeros(DType.UINT8, 3)) {
      refused(
          "weight is uint8[64, 1], expected a contiguous uint8 tensor of 65 elements on the CPU"
              + " for shape [10, 13]",
          plain,
          shape,
          wrongPacked,
          absmax,
          null);
      refused(
          "absmax is uint8[3], expected a contiguous float32", plain, shape, packed, indices, null);
      refused(
          "absmax is float32[3], expected a contiguous uint8",
          doubled,
          shape,
          packed,
          absmax,
          nested);
      refused("nested_absmax has 0 values, expected 1", doubled, shape, packed, indices, null);
      refused("nested_absmax has 1 values, expected 0", plain, shape, packed, absmax, nested);
      refused(
          "absmax of block 1 is Infinity, expected a finite one",
          plain,
          shape,
          packed,
          infinite,
          null);
      refused(
          "absmax of block 0 is NaN, expected a finite one", doubled, shape, packed, indices, nan);
      refused("' has shape [-10, 13], expected", plain, new long[] {-10, 13}, packed, absmax, null);
    }
  }

  private static void refused(
      String part,
      Quant4Config config,
      long[] shape,
      Tensor packed,
      Tensor absmax,
      NestedAbsmax nested) {
    InvalidInputException e =
        assertThrows(
            InvalidInputException.class,
            () ->
                Quantized4Bit.of("q_proj", config, DType.BFLOAT16, shape, packed, absmax, nested));
    assertTrue(e.getMessage().contains("'q_proj'"), e.getMessage());
    assertTrue(e.getMessage().contains(part), e.getMessage());
    assertArrayEquals(new String[] {e.getMessage()}, e.problems().toArray());
  }
}
