package ai.nibble.quant;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.InvalidInputException;
import ai.nibble.Shared;
import ai.nibble.cuda.Code4;
import ai.nibble.cuda.KernelTestCase;
import ai.nibble.cuda.NestedTables;
import ai.nibble.cuda.Quantize4Kernels;
import ai.nibble.cuda.Weight4;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Device;
import ai.nibble.tensor.Tensor;
import ai.nibble.tensor.TensorException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.function.Consumer;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** The 4-bit kernels give the bits of the host's code; they run compiled for the host. */
class Kernels4Test extends KernelTestCase {
  private static final List<DType> DTYPES = List.of(DType.FLOAT32, DType.BFLOAT16, DType.FLOAT16);

  /** One element, odd, less and more than a thread's, a block's and several blocks' share. */
  private static final int[] SIZES = {1, 7, 31, 32, 33, 255, 4096, 4097, 8191, 20_000};

  /** The weight as the kernels take it, on the CPU. */
  private Weight4 kernels(Quantized4Bit weight) {
    NestedTables tables = null;
    if (weight.nested().isPresent()) {
      tables = weight.nested().get().to(Device.CPU);
      scope.own(tables.absmax2());
      scope.own(tables.map());
    }
    return weight.forKernels(tables);
  }

  /** Corners of quantisation, within what float16 holds. */
  private static Tensor corners(int n, DType dtype) {
    float[] values = Bits.corners(n, n);
    for (int i = 0; i < n; i++) {
      values[i] = Math.max(-65504f, Math.min(65504f, values[i]));
    }
    return Bits.tensor(values, dtype, n);
  }

  private static void forAll(Consumer<Quant4Config> body) {
    for (Quant4Type type : Quant4Type.values()) {
      for (int blockSize = 32; blockSize <= 4096; blockSize *= 2) {
        for (boolean doubleQuant : new boolean[] {false, true}) {
          body.accept(new Quant4Config(type, blockSize, doubleQuant));
        }
      }
    }
  }

  @Test
  @Tag("golden")
  void theFixturesOfBitsandbytesGiveTheHostsBits() throws IOException {
    Path folder = Shared.fixtures("quant");
    int checked = 0;
    for (JsonNode c : new ObjectMapper().readTree(folder.resolve("index.json").toFile())) {
      String type = c.get("quant_type").asText();
      if (!type.equals("nf4") && !type.equals("fp4")) {
        continue;
      }
      boolean doubleQuant = c.get("double_quant").asBoolean();
      Quant4Config config =
          new Quant4Config(Quant4Type.of(type), c.get("block_size").asInt(), doubleQuant);
      String name = c.get("file").asText();
      SafetensorsFixture golden = new SafetensorsFixture(folder.resolve(name));
      NestedAbsmax nested =
          doubleQuant
              ? new NestedAbsmax(
                  golden.floats("nested_absmax"),
                  golden.floats("nested_code"),
                  golden.floats("nested_offset")[0])
              : null;
      try (Tensor x = golden.tensor("x");
          Quantized4Bit stored =
              Quantized4Bit.of(
                  name,
                  config,
                  x.dtype(),
                  x.shape(),
                  golden.tensor("packed"),
                  golden.tensor("absmax"),
                  nested)) {
        assertQuantizes(name, x, config);
        for (DType dtype : DTYPES) {
          assertDequantizes(stored, kernels(stored), dtype, 0, (int) stored.numel());
        }
      }
      checked++;
    }
    System.out.println("quant fixtures through the kernels: " + checked);
    assertTrue(checked > 0, "no case was checked");
  }

  private void assertQuantizes(String name, Tensor x, Quant4Config config) {
    Quant4Config plain = new Quant4Config(config.type(), config.blockSize(), false);
    try (Quantized4Bit expected = Quantizer4Bit.quantize(name, x, plain);
        Tensor packed = Tensor.empty(DType.UINT8, expected.packed().numel());
        Tensor absmax = Tensor.empty(DType.FLOAT32, expected.absmax().numel())) {
      Quantize4Kernels.quantize(config.type().forKernels(), config.blockSize(), x, packed, absmax);
      assertArrayEquals(Bits.of(expected.absmax()), Bits.of(absmax), name + " absmax");
      assertArrayEquals(Bits.of(expected.packed()), Bits.of(packed), name + " codes");
    }
  }

  private static void assertDequantizes(
      Quantized4Bit weight, Weight4 kernels, DType dtype, long begin, int n) {
    try (Tensor expected = Tensor.empty(dtype, n);
        Tensor actual = Tensor.empty(dtype, n)) {
      weight.dequantize(begin, expected);
      kernels.dequantize(actual, begin);
      assertArrayEquals(Bits.of(expected), Bits.of(actual), weight + " from " + begin);
    }
  }

  @Test
  void quantisingGivesTheHostsCodesAndAbsmax() {
    forAll(
        config -> {
          for (int n : SIZES) {
            DType dtype = DTYPES.get((n + config.blockSize()) % 3);
            try (Tensor x = corners(n, dtype)) {
              assertQuantizes(config + " " + n, x, config);
            }
          }
        });
  }

  @Test
  void valuesThatBeginAnywhereAreQuantisedAlike() {
    for (DType dtype : DTYPES) {
      try (Tensor all = corners(5000, dtype);
          Tensor view = all.narrow(0, 3, 4500);
          Tensor own = Tensor.empty(dtype, 4500).copyFrom(view);
          Quantized4Bit expected =
              Quantizer4Bit.quantize("own", own, new Quant4Config(Quant4Type.NF4, 64, false));
          Tensor bytes = Tensor.empty(DType.UINT8, 2251);
          Tensor packed = bytes.narrow(0, 1, 2250);
          Tensor absmax = Tensor.empty(DType.FLOAT32, 71)) {
        Quantize4Kernels.quantize(Code4.NF4, 64, view, packed, absmax);
        assertArrayEquals(Bits.of(expected.packed()), Bits.of(packed));
        assertArrayEquals(Bits.of(expected.absmax()), Bits.of(absmax));
      }
    }
  }

  @Test
  void wholeWeightsAreQuantisedWhereTheyLie() {
    forAll(
        config -> {
          DType dtype = DTYPES.get(config.blockSize() / 32 % 3);
          try (Tensor x = corners(20_001, dtype);
              Quantized4Bit expected = Quantizer4Bit.quantize("w", x, config);
              Quantized4Bit actual = DeviceQuantizer4Bit.quantize("w", x, config);
              Quantized4Bit copy = actual.to(Device.CPU)) {
            for (Quantized4Bit weight : List.of(actual, copy)) {
              assertArrayEquals(Bits.of(expected.packed()), Bits.of(weight.packed()));
              assertArrayEquals(Bits.of(expected.absmax()), Bits.of(weight.absmax()));
              assertEquals(
                  expected.nested().map(NestedAbsmax::offset),
                  weight.nested().map(NestedAbsmax::offset));
              assertEquals(expected.toString(), weight.toString());
            }
          }
        });
  }

  @Test
  void aValueThatIsNotFiniteIsReportedWithItsBlock() {
    float[] values = new float[100];
    values[70] = Float.NaN;
    try (Tensor x = Tensor.of(values, 10, 10)) {
      InvalidInputException e =
          assertThrows(
              InvalidInputException.class,
              () ->
                  DeviceQuantizer4Bit.quantize(
                      "q_proj", x, new Quant4Config(Quant4Type.NF4, 64, true)));
      assertTrue(
          e.getMessage()
              .startsWith(
                  "weight 'q_proj' [10, 10] holds a NaN or infinite value among elements 64 to 99,"),
          e.getMessage());
    }
  }

  @Test
  void blocksWithValuesThatAreNotFiniteShowInTheirAbsmax() {
    float[] values = new float[192];
    values[3] = Float.NaN;
    values[70] = Float.NEGATIVE_INFINITY;
    try (Tensor x = Tensor.of(values, 192);
        Tensor packed = Tensor.empty(DType.UINT8, 96);
        Tensor absmax = Tensor.empty(DType.FLOAT32, 3)) {
      Quantize4Kernels.quantize(Code4.NF4, 64, x, packed, absmax);
      assertTrue(Float.isNaN(absmax.floats().get(0)));
      assertEquals(Float.POSITIVE_INFINITY, absmax.floats().get(1));
      assertEquals(0, absmax.floats().get(2));
    }
  }

  @Test
  void dequantisingGivesTheHostsBitsFromAnyElementOn() {
    Random random = new Random(1);
    forAll(
        config -> {
          for (int n : SIZES) {
            try (Tensor x = Tensor.of(Bits.corners(n, n), n);
                Quantized4Bit weight = Quantizer4Bit.quantize("w", x, config)) {
              Weight4 kernels = kernels(weight);
              for (DType dtype : DTYPES) {
                assertDequantizes(weight, kernels, dtype, 0, n);
                int begin = random.nextInt(n);
                assertDequantizes(weight, kernels, dtype, begin, random.nextInt(n - begin + 1));
              }
            }
          }
        });
  }

  @Test
  void rowsLieApartAndWhatIsBetweenThemStays() {
    int[][] shapes = {{1, 64, 64}, {3, 64, 72}, {5, 96, 97}, {7, 33, 40}, {2, 5001, 5008}};
    for (int[] shape : shapes) {
      int rows = shape[0];
      int in = shape[1];
      int stride = shape[2];
      Quant4Config config = new Quant4Config(Quant4Type.NF4, 64, rows % 2 == 1);
      try (Tensor x = Tensor.of(Bits.corners((rows + 2) * in, 9), rows + 2, in);
          Quantized4Bit weight = Quantizer4Bit.quantize("w", x, config)) {
        Weight4 kernels = kernels(weight);
        for (DType dtype : DTYPES) {
          try (Tensor wide = Tensor.zeros(dtype, rows, stride);
              Tensor left = wide.narrow(1, 0, in);
              Tensor right = wide.narrow(1, stride - in, in);
              Tensor expected = Tensor.empty(dtype, rows, in)) {
            weight.dequantize(2L * in, expected);
            for (Tensor columns : List.of(left, right)) {
              wide.zero();
              kernels.dequantize(columns, 2L * in);
              try (Tensor seen = Tensor.empty(dtype, rows, in).copyFrom(columns)) {
                assertArrayEquals(Bits.of(expected), Bits.of(seen), Arrays.toString(shape));
              }
              columns.zero();
              for (byte b : Bits.of(wide)) {
                assertEquals(0, b, "wrote between the rows");
              }
            }
          }
        }
      }
    }
  }

  /** Rows that are no multiple of the tile, widths that are none of a warp's chunk or of 32. */
  private static final int[][] PRODUCTS = {
    {1, 32}, {3, 64}, {16, 128}, {17, 576}, {40, 160}, {5, 4128}, {18, 2080}, {9, 7}, {20, 33}
  };

  @Test
  void productsAreThoseOfTheDequantisedWeight() {
    int cases = 0;
    for (int[] shape : PRODUCTS) {
      for (DType dtype : DTYPES) {
        for (int batch : new int[] {1, 2, 5, 8}) {
          int blockSize = 32 << cases % 8;
          Quant4Type type = Quant4Type.values()[cases / 2 % 2];
          Quant4Config config = new Quant4Config(type, blockSize, cases % 2 == 0);
          assertProduct(config, dtype, shape[0], shape[1], batch, 0);
          cases++;
        }
      }
    }
    assertEquals(12 * PRODUCTS.length, cases);
  }

  @Test
  void inputsMayBeginAnywhereAndLieApart() {
    Quant4Config config = new Quant4Config(Quant4Type.NF4, 64, true);
    for (int apart : new int[] {1, 8, 24}) {
      assertProduct(config, DType.BFLOAT16, 20, 320, 3, apart);
      assertProduct(config, DType.FLOAT16, 20, 320, 1, apart);
    }
  }

  /** The sum of n products in float32 in any order is off by less than n·2⁻²⁴·Σ|w·x| (n < 2¹²). */
  private void assertProduct(
      Quant4Config config, DType dtype, int out, int in, int batch, int apart) {
    Random random = new Random(31L * out + in);
    float[] inputs = new float[batch * (in + apart)];
    for (int i = 0; i < inputs.length; i++) {
      inputs[i] = (float) random.nextGaussian();
    }
    float[] values = new float[out * in];
    for (int i = 0; i < values.length; i++) {
      values[i] = 0.02f * (float) random.nextGaussian();
    }
    try (Tensor w = Tensor.of(values, out, in);
        Quantized4Bit weight = Quantizer4Bit.quantize("w", w, config);
        Tensor wide = Bits.tensor(inputs, dtype, batch, in + apart);
        Tensor x = wide.narrow(1, apart, in);
        Tensor plain = Tensor.empty(dtype, out, in);
        Tensor y = Tensor.empty(dtype, batch, out)) {
      weight.dequantize(plain);
      kernels(weight).multiply(y, x);
      float[] rounded = plain.toFloats();
      float[] seen = y.toFloats();
      float[] rows = wide.toFloats();
      float unit = dtype == DType.FLOAT32 ? 0 : dtype == DType.BFLOAT16 ? 0x1p-8f : 0x1p-11f;
      for (int m = 0; m < batch; m++) {
        for (int o = 0; o < out; o++) {
          double sum = 0;
          double absolute = 0;
          for (int c = 0; c < in; c++) {
            double product = (double) rounded[o * in + c] * rows[m * (in + apart) + apart + c];
            sum += product;
            absolute += Math.abs(product);
          }
          double bound = (in + 1) * 0x1p-24 * absolute;
          double tolerance = bound + unit * (Math.abs(sum) + bound) + 0x1p-24;
          assertEquals(sum, seen[m * out + o], tolerance, weight + " " + x + " row " + m);
        }
      }
    }
  }

  @Test
  void operandsThatDoNotFitAreNamed() {
    try (Tensor x = Tensor.of(Bits.corners(128, 1), 4, 32);
        Quantized4Bit weight =
            Quantizer4Bit.quantize("w", x, new Quant4Config(Quant4Type.NF4, 64, false));
        Tensor tooLong = Tensor.empty(DType.FLOAT32, 100);
        Tensor integers = Tensor.empty(DType.INT32, 64);
        Tensor columns = x.t();
        Tensor nine = Tensor.empty(DType.FLOAT32, 9, 32);
        Tensor y = Tensor.empty(DType.FLOAT32, 9, 4)) {
      Weight4 w = weight.forKernels(null);
      assertMessage("out is float32[100]", () -> w.dequantize(tooLong, 29));
      assertMessage("out is int32[64]", () -> w.dequantize(integers, 0));
      assertMessage("contiguous rows", () -> w.dequantize(columns, 0));
      assertMessage("1 to 8 rows", () -> w.multiply(y, nine));
      assertMessage("y is float32[9, 4]", () -> w.multiply(y, x));
      assertMessage(
          "block size is 48", () -> new Weight4(Code4.NF4, 48, 128, w.packed(), w.absmax(), null));
      assertMessage(
          "absmax is float32[2]",
          () -> new Weight4(Code4.NF4, 32, 128, w.packed(), w.absmax(), null));
      assertMessage(
          "packed is uint8[64, 1]",
          () -> Quantize4Kernels.quantize(Code4.NF4, 64, tooLong, w.packed(), w.absmax()));
    }
  }

  private static void assertMessage(String part, Runnable body) {
    TensorException e = assertThrows(TensorException.class, body::run);
    assertTrue(e.getMessage().contains(part), e.getMessage());
  }
}
