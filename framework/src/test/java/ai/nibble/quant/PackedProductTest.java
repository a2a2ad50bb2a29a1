package ai.nibble.quant;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import ai.nibble.tensor.DType;
import ai.nibble.tensor.Tensor;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** The oracle dequantises and sums in double. */
class PackedProductTest {
  /** Blocks of whole rows, and blocks that straddle them; one row, and more than a chunk has. */
  private static final int[][] SHAPES = {
    {1, 32}, {3, 32}, {5, 96}, {7, 160}, {33, 576}, {300, 64}, {4, 4128}, {2, 20_000}
  };

  private static final int[] ROWS = {1, 2, 3, 4, 5, 8, 9};

  private long liveBefore;

  @BeforeEach
  void openNothing() {
    assumeTrue(
        PackedProduct.isAvailable(),
        "skipped: needs 512-bit registers and --add-modules jdk.incubator.vector");
    liveBefore = Tensor.live();
  }

  @AfterEach
  void everyTensorIsClosed() {
    assertEquals(liveBefore, Tensor.live());
  }

  @Test
  void productsAreThoseOfTheDequantisedWeight() {
    int cases = 0;
    for (Quant4Type type : Quant4Type.values()) {
      for (int blockSize = 32; blockSize <= 4096; blockSize *= 2) {
        for (int[] shape : SHAPES) {
          Quant4Config config = new Quant4Config(type, blockSize, cases % 2 == 0);
          DType dtype = cases % 3 == 0 ? DType.FLOAT32 : DType.BFLOAT16;
          try (Quantized4Bit weight = weight(config, shape[0], shape[1], cases)) {
            assertProducts(weight, dtype, ROWS[cases % ROWS.length], 0, shape[0]);
            assertProducts(weight, dtype, 1, shape[0] / 2, shape[0]);
          }
          cases++;
        }
      }
    }
    assertEquals(2 * 8 * SHAPES.length, cases);
  }

  @Test
  void everyNumberOfInputsGivesEachItsOwnOutputs() {
    Quant4Config config = new Quant4Config(Quant4Type.NF4, 64, true);
    try (Quantized4Bit weight = weight(config, 70, 96, 5)) {
      for (int rows : ROWS) {
        assertProducts(weight, DType.BFLOAT16, rows, 0, 70);
        assertProducts(weight, DType.FLOAT32, rows, 13, 57);
      }
    }
  }

  /**
   * A lane adds up to a 16th of a row's products, each addition and its fused product off by half a
   * unit in the last place of a sum that Σ|w·x| bounds; then five additions join 32 lanes.
   */
  private static double tolerance(int width, double absolute) {
    return (width / 16 + 5) * 0x1p-24 * absolute;
  }

  private static void assertProducts(
      Quantized4Bit weight, DType dtype, int rows, int begin, int end) {
    int width = (int) weight.shape()[1];
    float[] values = values(weight, dtype);
    Random random = new Random(rows);
    PackedInput x = new PackedInput(rows, width);
    float[][] inputs = new float[rows][width];
    for (int r = 0; r < rows; r++) {
      for (int c = 0; c < width; c++) {
        inputs[r][c] = (float) random.nextGaussian();
      }
      x.set(r, inputs[r]);
    }
    int column = 3;
    int stride = column + (int) weight.shape()[0] + 2;
    float[] y = new float[rows * stride];
    Arrays.fill(y, Float.NaN);
    new PackedProduct(weight, dtype).multiply(begin, end, x, y, column, stride);
    for (int r = 0; r < rows; r++) {
      for (int o = 0; o < stride; o++) {
        float actual = y[r * stride + o];
        int row = o - column;
        String at = weight + " " + dtype + " input " + r + " row " + row;
        if (row < begin || row >= end) {
          assertTrue(Float.isNaN(actual), at + " was written");
          continue;
        }
        double expected = 0;
        double absolute = 0;
        for (int c = 0; c < width; c++) {
          double product = (double) values[row * width + c] * inputs[r][c];
          expected += product;
          absolute += Math.abs(product);
        }
        assertEquals(expected, actual, tolerance(width, absolute), at);
      }
    }
  }

  private static float[] values(Quantized4Bit weight, DType dtype) {
    try (Tensor all = Tensor.empty(dtype, weight.numel())) {
      weight.dequantize(all);
      return all.toFloats();
    }
  }

  private static Quantized4Bit weight(Quant4Config config, int out, int in, long seed) {
    Random random = new Random(seed);
    float[] values = new float[out * in];
    for (int i = 0; i < values.length; i++) {
      values[i] = (float) random.nextGaussian() * (1 + i % 7);
    }
    try (Quantizer4Bit quantizer = new Quantizer4Bit("w", config, DType.FLOAT32, out, in)) {
      quantizer.accept(0, values, values.length);
      return quantizer.finish();
    }
  }

  @Test
  void whatTheKernelCannotReadIsRefused() {
    Quant4Config config = new Quant4Config(Quant4Type.NF4, 64, false);
    for (int in : List.of(16, 33, 48)) {
      try (Quantized4Bit odd = weight(config, 4, in, 1)) {
        assertFalse(PackedProduct.takes(odd));
        assertThrows(IllegalArgumentException.class, () -> new PackedProduct(odd, DType.BFLOAT16));
      }
    }
    assertThrows(IllegalArgumentException.class, () -> new PackedInput(1, 48));
    assertThrows(IllegalArgumentException.class, () -> new PackedInput(0, 64));
    try (Quantized4Bit weight = weight(config, 4, 64, 1)) {
      assertThrows(IllegalArgumentException.class, () -> new PackedProduct(weight, DType.FLOAT16));
      PackedProduct product = new PackedProduct(weight, DType.BFLOAT16);
      PackedInput narrow = new PackedInput(1, 32);
      assertThrows(
          IllegalArgumentException.class, () -> product.multiply(0, 4, narrow, new float[4], 0, 4));
    }
  }
}
