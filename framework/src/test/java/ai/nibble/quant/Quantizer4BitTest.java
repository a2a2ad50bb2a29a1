package ai.nibble.quant;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.InvalidInputException;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Tensor;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Random;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

class Quantizer4BitTest {
  private static final List<DType> DTYPES = List.of(DType.FLOAT32, DType.BFLOAT16, DType.FLOAT16);
  private static final Quant4Config NF4 = new Quant4Config(Quant4Type.NF4, 64, false);
  private static final Quant4Config NF4_DOUBLE = new Quant4Config(Quant4Type.NF4, 64, true);

  private long live;

  @BeforeEach
  void countTensors() {
    live = Tensor.live();
  }

  @AfterEach
  void noTensorIsLeftBehind() {
    assertEquals(live, Tensor.live());
  }

  private static float[] pattern() {
    float[] w = new float[256];
    for (int i = 0; i < 256; i++) {
      w[i] = ((i * 37 % 101) - 50) / 64f;
    }
    return w;
  }

  @Test
  void goldenPatternGivesTheBytesOfBitsandbytes() {
    try (Tensor w = Tensor.of(pattern(), 16, 16);
        Quantized4Bit q = Quantizer4Bit.quantize("w", w, NF4);
        Tensor back = Tensor.empty(DType.FLOAT32, 16, 16)) {
      assertArrayEquals(new float[] {.78125f, .78125f, .78125f, .78125f}, q.absmax().toFloats());
      assertEquals(
          "04c16e29f3b05d17e29f3c05d18e2af4c16e18e3b05d17e29f3b05d18e2af4c1",
          HexFormat.of().formatHex(Bits.of(q.packed()), 0, 32));
      assertArrayEquals(new long[] {128, 1}, q.packed().shape());
      q.dequantize(back);
      assertArrayEquals(
          new float[] {-0.78125f, -0.2222198247909546f, 0.34430456161499023f, -0.5439006090164185f},
          Arrays.copyOf(back.toFloats(), 4));
      assertEquals(128 + 16, q.bytes());
    }
  }

  @Test
  void goldenRampGivesTheCodesOfBitsandbytes() {
    float[] ramp = new float[64];
    for (int k = -32; k < 32; k++) {
      ramp[k + 32] = k / 32f;
    }
    try (Tensor w = Tensor.of(ramp, 64);
        Quantized4Bit nf4 = Quantizer4Bit.quantize("w", w, NF4);
        Quantized4Bit fp4 =
            Quantizer4Bit.quantize("w", w, new Quant4Config(Quant4Type.FP4, 64, false))) {
      assertEquals(
          "000001111111122222333344455566677788999aaabbbccccddddeeeeeeeffff",
          HexFormat.of().formatHex(Bits.of(nf4.packed())));
      assertEquals(
          "bbbbbbaaaaaaaadddddccccfffeeee9901166667774444555552222222233333",
          HexFormat.of().formatHex(Bits.of(fp4.packed())));
    }
  }

  /** Both types, all block sizes and dtypes, plain and double, lengths about every boundary. */
  @Test
  void fastPathEqualsTheReferenceOnEveryBit() {
    Random random = new Random(21);
    int cases = 0;
    for (Quant4Type type : Quant4Type.values()) {
      for (int blockSize = 32; blockSize <= 4096; blockSize *= 2) {
        for (int n : lengths(blockSize, random)) {
          float[] values = Bits.corners(n, random.nextLong());
          for (DType dtype : DTYPES) {
            check(new Quant4Config(type, blockSize, cases % 2 == 0), values, dtype);
            cases++;
          }
        }
      }
    }
    assertEquals(2 * 8 * 10 * 3, cases);
  }

  private static int[] lengths(int blockSize, Random random) {
    return new int[] {
      0,
      1,
      2,
      17,
      blockSize - 1,
      blockSize,
      blockSize + 1,
      3 * blockSize + 5,
      4096 * random.nextInt(1, 4),
      random.nextInt(70_000, 75_000)
    };
  }

  private static void check(Quant4Config config, float[] values, DType dtype) {
    String at = config + " " + dtype + " " + values.length;
    try (Tensor w = Bits.tensor(clamped(values, dtype), dtype, values.length);
        Quantized4Bit q = Quantizer4Bit.quantize("w", w, config)) {
      ReferenceQuant4.Blocks expected =
          referenceBlocks(w.toFloats(), config.type(), config.blockSize());
      assertArrayEquals(expected.packed(), Bits.of(q.packed()), at);
      if (!config.doubleQuant()) {
        assertTrue(Arrays.equals(expected.absmax(), q.absmax().toFloats()), at);
        return;
      }
      byte[] indices = new byte[expected.absmax().length];
      NestedAbsmax nested = ReferenceQuant4.quantizeAbsmax(expected.absmax(), indices);
      assertArrayEquals(indices, Bits.of(q.absmax()), at);
      assertTrue(Arrays.equals(nested.absmax2(), q.nested().orElseThrow().absmax2()), at);
      assertEquals(nested.offset(), q.nested().orElseThrow().offset(), at);
    }
  }

  /** The reference, block by block: it looks up a block's absmax again for each element. */
  private static ReferenceQuant4.Blocks referenceBlocks(
      float[] values, Quant4Type type, int blockSize) {
    byte[] packed = new byte[(values.length + 1) / 2];
    float[] absmax = new float[(values.length + blockSize - 1) / blockSize];
    IntStream.range(0, absmax.length)
        .parallel()
        .forEach(
            b -> {
              int begin = b * blockSize;
              int end = Math.min(values.length, begin + blockSize);
              ReferenceQuant4.Blocks block =
                  ReferenceQuant4.quantize(Arrays.copyOfRange(values, begin, end), type, blockSize);
              System.arraycopy(block.packed(), 0, packed, begin / 2, block.packed().length);
              absmax[b] = block.absmax()[0];
            });
    return new ReferenceQuant4.Blocks(packed, absmax);
  }

  private static float[] clamped(float[] values, DType dtype) {
    float[] finite = values.clone();
    for (int k = 0; k < finite.length && dtype == DType.FLOAT16; k++) {
      finite[k] = Math.max(-65504, Math.min(65504, finite[k]));
    }
    return finite;
  }

  @Test
  void rangesInAnyOrderAndFormGiveTheSameBytes() {
    float[] values = Bits.corners(64 * 5000 + 37, 4);
    for (Quant4Config config : List.of(NF4, NF4_DOUBLE)) {
      try (Tensor w = Bits.tensor(values, DType.BFLOAT16, values.length);
          Quantized4Bit whole = Quantizer4Bit.quantize("w", w, config);
          Quantizer4Bit quantizer = new Quantizer4Bit("w", config, DType.BFLOAT16, values.length)) {
        float[] rounded = w.toFloats();
        int[] cuts = {0, 64, 64 * 3, 64 * 1100, 64 * 4999, values.length};
        for (int r : new int[] {3, 0, 4, 2, 1}) {
          int begin = cuts[r];
          int n = cuts[r + 1] - begin;
          if (r % 3 == 0) {
            quantizer.accept(begin, Arrays.copyOfRange(rounded, begin, begin + n), n);
          } else if (r % 3 == 1) {
            try (Tensor part = w.narrow(0, begin, n)) {
              quantizer.accept(begin, part);
            }
          } else {
            ByteBuffer bytes = ByteBuffer.allocate(4 * n + 6).order(ByteOrder.LITTLE_ENDIAN);
            bytes.position(3).limit(3 + 4 * n);
            bytes.slice().order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer().put(rounded, begin, n);
            quantizer.accept(begin, bytes, DType.FLOAT32);
            assertEquals(3, bytes.position());
          }
        }
        try (Quantized4Bit pieces = quantizer.finish()) {
          assertArrayEquals(Bits.of(whole.packed()), Bits.of(pieces.packed()));
          assertArrayEquals(Bits.of(whole.absmax()), Bits.of(pieces.absmax()));
          assertEquals(
              whole.nested().map(NestedAbsmax::toString),
              pieces.nested().map(NestedAbsmax::toString));
        }
      }
    }
  }

  @Test
  void rangesFromSeveralThreadsGiveTheSameBytes() {
    float[] values = Bits.corners(64 * 4096, 5);
    try (Tensor w = Tensor.of(values, 4096, 64);
        Quantized4Bit whole = Quantizer4Bit.quantize("w", w, NF4_DOUBLE);
        Quantizer4Bit quantizer = new Quantizer4Bit("w", NF4_DOUBLE, DType.FLOAT32, 4096, 64)) {
      IntStream.range(0, 64)
          .parallel()
          .forEach(
              r -> {
                try (Tensor part = w.narrow(0, r * 64L, 64)) {
                  quantizer.accept(r * 4096L, part);
                }
              });
      try (Quantized4Bit pieces = quantizer.finish()) {
        assertArrayEquals(Bits.of(whole.packed()), Bits.of(pieces.packed()));
        assertArrayEquals(Bits.of(whole.absmax()), Bits.of(pieces.absmax()));
      }
    }
  }

  @Test
  void quantizingAConstantBlockIsExact() {
    for (Quant4Type type : Quant4Type.values()) {
      float[] values = new float[128];
      Arrays.fill(values, 0, 64, 0.3f);
      Arrays.fill(values, 64, 128, -7.25f);
      try (Tensor w = Tensor.of(values, 128);
          Quantized4Bit q = Quantizer4Bit.quantize("w", w, new Quant4Config(type, 64, false));
          Tensor back = Tensor.empty(DType.FLOAT32, 128)) {
        q.dequantize(back);
        assertArrayEquals(values, back.toFloats());
      }
    }
  }

  @Test
  void nonFiniteWeightsAreRefusedByNameAndPlace() {
    for (float bad : new float[] {Float.NaN, Float.POSITIVE_INFINITY, Float.NEGATIVE_INFINITY}) {
      for (DType dtype : DTYPES) {
        float[] values = Bits.corners(70_001, 6);
        values = clamped(values, DType.FLOAT16);
        values[69_999] = bad;
        try (Tensor w = Bits.tensor(values, dtype, 70_001)) {
          InvalidInputException e =
              assertThrows(
                  InvalidInputException.class,
                  () -> Quantizer4Bit.quantize("model.layers.3.mlp.up_proj.weight", w, NF4));
          assertTrue(
              e.getMessage()
                  .startsWith(
                      "weight 'model.layers.3.mlp.up_proj.weight' [70001] holds "
                          + bad
                          + " at element 69999, expected finite values: "),
              e.getMessage());
        }
      }
    }
  }

  @Test
  void otherDtypesAndImpossibleShapesAreRefused() {
    try (Tensor w = Tensor.zeros(DType.INT64, 64)) {
      InvalidInputException e =
          assertThrows(InvalidInputException.class, () -> Quantizer4Bit.quantize("w", w, NF4));
      assertTrue(e.getMessage().startsWith("weight 'w' is int64, expected float32, bfloat16"));
    }
    long[][] impossible = {{-1, 4}, {1L << 40, 1L << 40}, {Long.MAX_VALUE}, {1L << 32, 1L << 32}};
    for (long[] shape : impossible) {
      InvalidInputException e =
          assertThrows(
              InvalidInputException.class,
              () -> new Quantizer4Bit("w", NF4, DType.FLOAT32, shape).close());
      assertTrue(e.getMessage().startsWith("weight 'w' has shape " + Arrays.toString(shape)));
    }
  }

  @Test
  void rangesThatAreNoBlocksAreRefused() {
    try (Quantizer4Bit q = new Quantizer4Bit("w", NF4, DType.FLOAT32, 200)) {
      float[] values = new float[256];
      assertThrows(IllegalArgumentException.class, () -> q.accept(1, values, 64));
      assertThrows(IllegalArgumentException.class, () -> q.accept(0, values, 63));
      assertThrows(IllegalArgumentException.class, () -> q.accept(-64, values, 64));
      assertThrows(IllegalArgumentException.class, () -> q.accept(128, values, 128));
      assertThrows(IllegalArgumentException.class, () -> q.accept(0, values, 257));
      assertThrows(
          IllegalArgumentException.class,
          () -> q.accept(0, ByteBuffer.allocate(255), DType.FLOAT32));
      q.accept(0, values, 64);
      assertThrows(IllegalStateException.class, () -> q.accept(0, values, 64));
      q.accept(128, values, 72);
      IllegalStateException e = assertThrows(IllegalStateException.class, q::finish);
      assertEquals("w: block 1 was never handed over", e.getMessage());
      q.accept(64, values, 64);
      q.finish().close();
      assertThrows(IllegalStateException.class, q::finish);
      assertThrows(IllegalStateException.class, () -> q.accept(0, values, 64));
    }
  }
}
