package ai.nibble.quant;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.InvalidInputException;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Float16;
import ai.nibble.tensor.Ops;
import ai.nibble.tensor.Scope;
import ai.nibble.tensor.Tensor;
import ai.nibble.tensor.TensorException;
import java.util.Arrays;
import java.util.Random;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Weights and activations in 8 bits: the fast paths give the reference's bits. */
class Int8RowsTest {
  private static final int[][] SHAPES = {{1, 1}, {3, 7}, {5, 64}, {300, 33}, {70, 1000}};

  private Scope scope;
  private long liveBefore;

  @BeforeEach
  void open() {
    liveBefore = Tensor.live();
    scope = new Scope();
  }

  @AfterEach
  void everyTensorIsClosed() {
    scope.close();
    assertEquals(liveBefore, Tensor.live());
  }

  /** Normal values, ties of the rounding, a row of zeros, and in some columns outliers. */
  private static float[] activations(int rows, int columns) {
    Random random = new Random(31L * rows + columns);
    float[] values = new float[rows * columns];
    for (int i = 0; i < values.length; i++) {
      boolean mayBeOutlier = i % columns % 9 == 2 && random.nextInt(40) == 0;
      values[i] = (float) random.nextGaussian() * (mayBeOutlier ? 20 : 1);
      if (i / columns == 2) {
        // absmax 127/32, so that codes are 32 x: halves are ties
        values[i] = i % columns == 0 ? 127 / 32f : random.nextInt(-253, 254) / 64f;
      }
      if (rows > 1 && i / columns == 1) {
        values[i] = random.nextBoolean() ? 0f : -0f;
      }
    }
    if (columns > 3) {
      values[3] = 6; // at the threshold is an outlier
    }
    return values;
  }

  @ParameterizedTest
  @CsvSource({"FLOAT32, 0", "FLOAT32, 6", "BFLOAT16, 0", "BFLOAT16, 6", "FLOAT32, 0.01"})
  void activationsHaveTheReferencesCodes(DType dtype, float threshold) {
    for (int[] shape : SHAPES) {
      Tensor x = scope.own(Bits.tensor(activations(shape[0], shape[1]), dtype, shape[0], shape[1]));
      ReferenceQuant8.Rows expected = ReferenceQuant8.rows(x.toFloats(), shape[1], threshold);
      Tensor q = scope.empty(DType.INT8, shape[0], shape[1]);
      Tensor absmax = scope.empty(DType.FLOAT32, shape[0]);
      Tensor outliers = scope.own(Tensor.zeros(DType.UINT8, shape[1]));
      Int8Rows.quantize(x, q, absmax, threshold > 0 ? outliers : null, threshold);
      assertArrayEquals(expected.absmax(), absmax.toFloats());
      assertArrayEquals(expected.codes(), Bits.of(q), x + " threshold " + threshold);
      byte[] seen = Bits.of(outliers);
      for (int c = 0; c < shape[1]; c++) {
        assertEquals(expected.outliers()[c], seen[c] == 1, "column " + c);
      }
    }
  }

  @ParameterizedTest
  @CsvSource({"NaN, 0", "NaN, 6", "Infinity, 0", "Infinity, 6"})
  void whatIsNoNumberIsNotHidden(float bad, float threshold) {
    Tensor x = scope.own(Tensor.of(new float[] {1, bad, 2, 1, 1, 1}, 2, 3));
    Tensor q = scope.empty(DType.INT8, 2, 3);
    Tensor absmax = scope.empty(DType.FLOAT32, 2);
    Tensor outliers = scope.own(Tensor.zeros(DType.UINT8, 3));
    Int8Rows.quantize(x, q, absmax, outliers, threshold);
    if (threshold > 0) {
      // multiplied by what it is
      assertArrayEquals(new byte[] {0, 1, 0}, Bits.of(outliers));
      assertArrayEquals(new float[] {2, 1}, absmax.toFloats());
    } else {
      Tensor sums = scope.own(Tensor.zeros(DType.INT32, 2, 1));
      Tensor y = scope.empty(DType.FLOAT32, 2, 1);
      Int8Rows.recover(sums, absmax, scope.own(Tensor.of(new float[] {1}, 1)), y);
      assertTrue(Float.isNaN(y.toFloats()[0]), "a row that has one gives NaN");
      assertEquals(0, y.toFloats()[1]);
    }
  }

  /** A weight with rows of zeros, of float16's subnormals and of values that float16 rounds. */
  private static float[] weight(int out, int in) {
    Random random = new Random(out + 7L * in);
    float[] values = new float[out * in];
    for (int i = 0; i < values.length; i++) {
      float normal = (float) random.nextGaussian();
      values[i] =
          switch (i / in % 4) {
            case 0 -> 0.02f * normal;
            case 1 -> 1e-6f * normal;
            case 2 -> i / in % 8 == 2 ? 0f : 2e4f * Math.max(-3, Math.min(3, normal));
            default -> Float16.toFloat(Float16.of(normal));
          };
    }
    return values;
  }

  private static Quantized8Bit quantize(float[] values, int out, int in) {
    return Quantized8Bit.quantize(
        "w", out, in, (first, into, n) -> System.arraycopy(values, (int) first, into, 0, n));
  }

  @Test
  void weightsHaveTheReferencesCodesAndValues() {
    for (int[] shape : SHAPES) {
      float[] values = weight(shape[0], shape[1]);
      ReferenceQuant8.Rows expected = ReferenceQuant8.weight(values, shape[1]);
      Quantized8Bit held = scope.own(quantize(values, shape[0], shape[1]));
      assertArrayEquals(expected.absmax(), held.absmax().toFloats());
      assertArrayEquals(expected.codes(), Bits.of(held.codes()));
      assertEquals((long) shape[0] * shape[1] + 4L * shape[0], held.bytes());

      float[] plain = new float[values.length];
      for (int i = 0; i < plain.length; i++) {
        plain[i] = ReferenceQuant8.value(expected.codes()[i], expected.absmax()[i / shape[1]]);
      }
      assertDequantizes(held, plain, DType.FLOAT32, DType.FLOAT32);
      assertDequantizes(held, plain, DType.BFLOAT16, DType.BFLOAT16);
      assertDequantizes(held, plain, DType.BFLOAT16, DType.FLOAT32);
      float[] some = new float[plain.length + 2];
      held.read(shape[1] / 2, some, 1, plain.length - shape[1] / 2);
      for (int i = shape[1] / 2; i < plain.length; i++) {
        assertEquals(plain[i], some[1 + i - shape[1] / 2]);
      }
    }
  }

  /** Into the left of a wider matrix, below a row of another weight. */
  private void assertDequantizes(Quantized8Bit held, float[] plain, DType rounded, DType dtype) {
    int out = (int) held.outFeatures();
    int in = (int) held.inFeatures();
    Tensor wide = scope.own(Tensor.zeros(dtype, out + 1, in + 3));
    held.dequantize(wide, 1, rounded);
    float[] seen = wide.toFloats();
    float[] expected =
        scope.own(scope.own(Bits.tensor(plain, rounded, out, in)).to(DType.FLOAT32)).toFloats();
    for (int i = 0; i < seen.length; i++) {
      int r = i / (in + 3) - 1;
      int c = i % (in + 3);
      assertEquals(r < 0 || c >= in ? 0 : expected[r * in + c], seen[i], "row " + r + ", " + c);
    }
  }

  @ParameterizedTest
  @CsvSource({"FLOAT32", "BFLOAT16"})
  void productsAreTheReferences(DType dtype) {
    for (int[] shape : SHAPES) {
      int in = shape[1];
      int out = 13;
      float[] x = activations(shape[0], in);
      float[] values = weight(out, in);
      Quantized8Bit held = scope.own(quantize(values, out, in));
      Tensor q = scope.empty(DType.INT8, shape[0], in);
      Tensor absmax = scope.empty(DType.FLOAT32, shape[0]);
      Tensor outliers = scope.own(Tensor.zeros(DType.UINT8, in));
      Int8Rows.quantize(scope.own(Tensor.of(x, shape[0], in)), q, absmax, outliers, 6);
      Tensor sums = scope.empty(DType.INT32, shape[0], out);
      Ops.intMm(sums, q, held.codes());
      Tensor y = scope.empty(dtype, shape[0], out);
      Int8Rows.recover(sums, absmax, held.absmax(), y);
      float[] expected =
          ReferenceQuant8.product(
              ReferenceQuant8.rows(x, in, 6), ReferenceQuant8.weight(values, in), in);
      assertArrayEquals(
          Bits.of(scope.own(Bits.tensor(expected, dtype, shape[0], out))), Bits.of(y));
    }
  }

  @Test
  void sumsThatFillAnInt32AreExact() {
    int in = (int) Quantized8Bit.MAX_COLUMNS;
    byte[] most = new byte[in];
    Arrays.fill(most, (byte) -127);
    Tensor a = scope.empty(DType.INT8, 1, in);
    a.bytes(0, in).put(most);
    Tensor sums = scope.empty(DType.INT32, 1, 1);
    assertEquals(127 * 127 * in, Ops.intMm(sums, a, a).bytes(0, 4).getInt(0));
  }

  @Test
  void aWeightThatInt8CannotHoldIsNamed() {
    float[] values = weight(4, 8);
    values[13] = 70000;
    assertMessage(
        "weight 'w' holds 70000.0 at [1, 5], expected finite values within float16's range (65504)"
            + " for int8: leave it out with llm_int8_skip_modules",
        () -> quantize(values, 4, 8));
    values[13] = Float.NaN;
    assertMessage(
        "weight 'w' holds NaN at [1, 5], expected finite values within float16's range (65504) for"
            + " int8: the checkpoint is damaged or was saved after training diverged; use an intact"
            + " one",
        () -> quantize(values, 4, 8));
    assertMessage(
        "weight 'w' has rows of 133145, expected at most 133144 for int8, whose products are summed"
            + " in 32 bits: leave it out with llm_int8_skip_modules",
        () -> quantize(new float[0], 0, 133_145));
  }

  @Test
  void storedPartsThatDoNotFitAreNamed() {
    Tensor codes = scope.empty(DType.INT8, 3, 4);
    String damaged = ": the file is damaged or its scales belong to another weight";
    assertMessage(
        "8-bit weight 'w': weight is float32[3], expected a contiguous int8 matrix" + damaged,
        () -> Quantized8Bit.of("w", scope.empty(DType.FLOAT32, 3), codes));
    assertMessage(
        "8-bit weight 'w': SCB is float32[4], expected a contiguous float32 tensor of 3 elements"
            + " beside int8[3, 4]"
            + damaged,
        () -> Quantized8Bit.of("w", codes, scope.empty(DType.FLOAT32, 4)));
    Tensor scales = scope.own(Tensor.of(new float[] {1, Float.NaN, 1}, 3));
    assertMessage(
        "8-bit weight 'w': SCB of row 1 is NaN, expected a finite one" + damaged,
        () -> Quantized8Bit.of("w", codes, scales));
  }

  @Test
  void operandsThatDoNotFitAreNamed() {
    Tensor x = scope.empty(DType.FLOAT32, 2, 4);
    Tensor absmax = scope.empty(DType.FLOAT32, 2);
    TensorException e =
        assertThrows(TensorException.class, () -> Int8Rows.quantize(x, x, absmax, null, 0));
    assertEquals(
        "int8 rows: q is float32[2, 4], expected a contiguous int8 tensor of 8 elements",
        e.getMessage());
    Tensor q = scope.empty(DType.INT8, 2, 4);
    Tensor sums = scope.empty(DType.INT32, 2, 3);
    e = assertThrows(TensorException.class, () -> Ops.intMm(sums, q, q));
    assertTrue(e.getMessage().startsWith("int_mm: int8[2, 4]"), e.getMessage());
  }

  private static void assertMessage(String expected, Runnable body) {
    InvalidInputException e = assertThrows(InvalidInputException.class, body::run);
    assertEquals(expected, e.getMessage());
  }
}
