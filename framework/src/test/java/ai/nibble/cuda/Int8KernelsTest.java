package ai.nibble.cuda;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.tensor.DType;
import ai.nibble.tensor.KernelForm;
import ai.nibble.tensor.KernelLaunchers;
import ai.nibble.tensor.Scope;
import ai.nibble.tensor.Tensor;
import ai.nibble.tensor.TensorException;
import java.nio.ByteBuffer;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.Parameter;
import org.junit.jupiter.params.ParameterizedClass;
import org.junit.jupiter.params.provider.EnumSource;

/** Row-wise int8 against its formulas, on kernels compiled for the host. */
@ParameterizedClass
@EnumSource
class Int8KernelsTest {
  private static final List<DType> DTYPES = List.of(DType.FLOAT32, DType.BFLOAT16, DType.FLOAT16);

  private static final int[][] SHAPES = {{1, 1}, {3, 7}, {5, 64}, {300, 33}, {4, 1000}};

  @Parameter KernelForm form;
  private KernelLaunchers.Installation host;
  private Scope scope;

  @BeforeEach
  void install() {
    scope = new Scope();
    host = form.install();
  }

  @AfterEach
  void remove() {
    scope.close();
    if (host != null) {
      host.close();
    }
  }

  /** Normal values with a row of zeros and some outliers, in the dtype's precision. */
  private Tensor activations(int rows, int columns, DType dtype) {
    Random random = new Random(rows);
    float[] values = new float[rows * columns];
    for (int i = 0; i < values.length; i++) {
      values[i] = (float) random.nextGaussian() * (random.nextInt(50) == 0 ? 9 : 1);
    }
    for (int c = 0; c < columns && rows > 1; c++) {
      values[columns + c] = 0;
    }
    if (values.length > 4) {
      values[3] = 6; // at the threshold is an outlier
    }
    return scope.own(scope.own(Tensor.of(values, rows, columns)).to(dtype));
  }

  private static byte[] bytes(Tensor t) {
    byte[] bytes = new byte[(int) t.byteSize()];
    t.bytes(0, bytes.length).get(bytes);
    return bytes;
  }

  @Test
  void rowsAreScaledByTheirAbsmaxAndRoundedHalfToEven() {
    for (int[] shape : SHAPES) {
      for (DType dtype : DTYPES) {
        for (float threshold : new float[] {0, 6}) {
          assertQuantizes(activations(shape[0], shape[1], dtype), threshold);
        }
      }
    }
  }

  private void assertQuantizes(Tensor in, float threshold) {
    int rows = (int) in.size(0);
    int columns = (int) in.size(1);
    Tensor q = scope.empty(DType.INT8, rows, columns);
    Tensor absmax = scope.empty(DType.FLOAT32, rows);
    Tensor outliers = scope.own(Tensor.zeros(DType.UINT8, columns));
    if (threshold == 0) {
      Int8Kernels.quantize(in, q, absmax);
    } else {
      Int8Kernels.quantize(in, q, absmax, outliers, threshold);
    }
    float[] x = in.toFloats();
    byte[] left = new byte[columns];
    float[] greatest = new float[rows];
    for (int i = 0; i < x.length; i++) {
      if (threshold > 0 && Math.abs(x[i]) >= threshold) {
        left[i % columns] = 1;
      } else {
        greatest[i / columns] = Math.max(greatest[i / columns], Math.abs(x[i]));
      }
    }
    byte[] expected = new byte[x.length];
    for (int i = 0; i < x.length; i++) {
      float scale = greatest[i / columns] < 1e-36f ? 0 : 1 / greatest[i / columns] * 127;
      expected[i] = left[i % columns] == 1 ? 0 : (byte) Math.rint(x[i] * scale);
    }
    assertArrayEquals(greatest, absmax.toFloats());
    assertArrayEquals(left, bytes(outliers));
    assertArrayEquals(expected, bytes(q), in + " threshold " + threshold);
  }

  @Test
  void sumsAreRecoveredByBothScales() {
    for (int[] shape : SHAPES) {
      for (DType dtype : DTYPES) {
        int rows = shape[0];
        int columns = shape[1];
        Random random = new Random(columns);
        Tensor sums = scope.empty(DType.INT32, rows, columns);
        ByteBuffer ints = sums.bytes(0, (int) sums.byteSize());
        float[] rowAbsmax = new float[rows];
        float[] columnAbsmax = new float[columns];
        for (int r = 0; r < rows; r++) {
          rowAbsmax[r] = 10 * random.nextFloat();
        }
        for (int c = 0; c < columns; c++) {
          columnAbsmax[c] = random.nextFloat();
        }
        float[] expected = new float[rows * columns];
        for (int i = 0; i < expected.length; i++) {
          int sum = random.nextInt(-60_000_000, 60_000_000);
          ints.putInt(4 * i, sum);
          float value = (float) sum * 6.200012e-05f;
          expected[i] = value * rowAbsmax[i / columns] * columnAbsmax[i % columns];
        }
        Tensor y = scope.empty(dtype, rows, columns);
        Tensor byRow = scope.own(Tensor.of(rowAbsmax, rows));
        Tensor byColumn = scope.own(Tensor.of(columnAbsmax, columns));
        Int8Kernels.recover(sums, byRow, byColumn, y);
        assertArrayEquals(rounded(expected, y), y.toFloats());
      }
    }
  }

  private float[] rounded(float[] values, Tensor like) {
    return scope.own(scope.own(Tensor.of(values, like.shape())).to(like.dtype())).toFloats();
  }

  @Test
  void weightsAreDequantisedByRow() {
    for (DType dtype : DTYPES) {
      Tensor q = scope.empty(DType.INT8, 3, 300);
      Tensor absmax = scope.own(Tensor.of(new float[] {0.1f, 0, 7}, 3));
      float[] expected = new float[900];
      ByteBuffer bytes = q.bytes(0, 900);
      for (int i = 0; i < 900; i++) {
        bytes.put(i, (byte) (i % 255 - 127));
        expected[i] = (i % 255 - 127) * absmax.floats().get(i / 300) / 127f;
      }
      Tensor w = scope.empty(dtype, 3, 300);
      Int8Kernels.dequantize(q, absmax, w);
      assertArrayEquals(rounded(expected, w), w.toFloats());
    }
  }

  @Test
  void operandsThatDoNotFitAreNamed() {
    Tensor in = activations(4, 8, DType.FLOAT32);
    Tensor q = scope.empty(DType.INT8, 4, 7);
    Tensor absmax = scope.empty(DType.FLOAT32, 4);
    Tensor outliers = scope.empty(DType.UINT8, 8);
    assertMessage("q is int8[4, 7]", () -> Int8Kernels.quantize(in, q, absmax));
    assertMessage("threshold is 0.0", () -> Int8Kernels.quantize(in, q, absmax, outliers, 0f));
    assertMessage("q is int8[4, 7]", () -> Int8Kernels.dequantize(q, absmax, in));
    assertMessage("sums is int8[4, 7]", () -> Int8Kernels.recover(q, absmax, absmax, in));
  }

  private static void assertMessage(String part, Runnable body) {
    TensorException e = assertThrows(TensorException.class, body::run);
    assertTrue(e.getMessage().contains(part), e.getMessage());
  }
}
