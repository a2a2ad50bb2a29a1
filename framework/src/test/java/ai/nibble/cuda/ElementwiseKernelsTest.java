package ai.nibble.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import ai.nibble.tensor.DType;
import ai.nibble.tensor.Tensor;
import ai.nibble.tensor.TensorException;
import java.util.Arrays;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Element by element against plain loops, bit for bit. */
class ElementwiseKernelsTest extends KernelTestCase {
  @ParameterizedTest
  @EnumSource(names = {"FLOAT32", "BFLOAT16", "FLOAT16"})
  void sumsAreRoundedOnce(DType dtype) {
    for (int n : new int[] {0, 1, 3, 17, 63, 576, 5000}) {
      float[] as = gaussian(dtype, 1, n);
      float[] bs = gaussian(dtype, 2, n);
      float[] expected = new float[n];
      for (int i = 0; i < n; i++) {
        expected[i] = round(dtype, as[i] + bs[i]);
      }
      Tensor a = tensor(dtype, as, n);
      Tensor b = tensor(dtype, bs, n);
      Tensor out = unwritten(dtype, n);
      ElementwiseKernels.add(out, a, b);
      assertSame(expected, out, dtype + " " + n);
      ElementwiseKernels.add(a, a, b);
      assertSame(expected, a, dtype + " in place " + n);
      Tensor moved = misplaced(dtype, bs, n);
      ElementwiseKernels.add(moved, tensor(dtype, as, n), moved);
      assertSame(expected, moved, dtype + " misplaced " + n);
    }
  }

  @ParameterizedTest
  @EnumSource(names = {"FLOAT32", "BFLOAT16", "FLOAT16"})
  void biasIsAddedToEveryRow(DType dtype) {
    for (int rows : new int[] {0, 1, 5}) {
      for (int width : WIDTHS) {
        float[] ys = gaussian(dtype, 3, rows * width);
        float[] bias = gaussian(DType.FLOAT32, 4, width);
        float[] expected = new float[ys.length];
        for (int i = 0; i < ys.length; i++) {
          expected[i] = round(dtype, ys[i] + bias[i % width]);
        }
        Tensor y = tensor(dtype, ys, rows, width);
        ElementwiseKernels.addBias(y, tensor(DType.FLOAT32, bias, width));
        assertSame(expected, y, dtype + " " + rows + "x" + width);
      }
    }
  }

  @ParameterizedTest
  @EnumSource(names = {"FLOAT32", "BFLOAT16", "FLOAT16"})
  void scaledGradientsOfPartOfAMatrixAreAdded(DType dtype) {
    double scale = 0.3;
    for (int stride : new int[] {17, 64, 1000}) {
      for (int width : new int[] {1, 16, 17}) {
        float[] all = gaussian(dtype, 5, 3 * stride);
        float[] expected = gaussian(DType.FLOAT32, 6, 3 * width);
        Tensor grad = tensor(DType.FLOAT32, expected, 3, width);
        for (int i = 0; i < expected.length; i++) {
          expected[i] += (float) scale * all[i / width * stride + i % width];
        }
        Tensor part = scope.own(tensor(dtype, all, 3, stride).narrow(1, 0, width));
        ElementwiseKernels.addScaled(grad, part, stride, scale);
        assertSame(expected, grad, dtype + " " + width + " of " + stride);
      }
    }
  }

  @Test
  void scaledGradientOfAVectorIsAdded() {
    Tensor grad = tensor(DType.FLOAT32, new float[] {1, 2, 3}, 3);
    Tensor gradient = tensor(DType.BFLOAT16, new float[] {1, 10, 100}, 3);
    ElementwiseKernels.addScaled(grad, gradient, 3, 2);
    assertSame(new float[] {3, 22, 203}, grad, "vector");
  }

  @ParameterizedTest
  @EnumSource(names = {"FLOAT32", "BFLOAT16", "FLOAT16"})
  void rowsGoToTheirPlacesAndZerosElsewhere(DType dtype) {
    int[][] indices = {{}, {0}, {6}, {1, 2, 5}, {0, 1, 2, 3, 4, 5, 6}};
    for (int[] index : indices) {
      for (int width : WIDTHS) {
        float[] rows = gaussian(dtype, 7, index.length * width);
        float[] expected = new float[7 * width];
        for (int i = 0; i < index.length; i++) {
          System.arraycopy(rows, i * width, expected, index[i] * width, width);
        }
        Tensor out = unwritten(dtype, 7, width);
        Tensor places = scope.own(Tensor.ofIndices(index));
        ElementwiseKernels.scatterRows(out, tensor(dtype, rows, index.length, width), places);
        assertSame(expected, out, dtype + " " + Arrays.toString(index) + " x" + width);
      }
    }
  }

  @ParameterizedTest
  @EnumSource(names = {"FLOAT32", "BFLOAT16", "FLOAT16"})
  void columnsOfPartOfAMatrixAreSummed(DType dtype) {
    for (int rows : new int[] {0, 1, 63, 64, 65, 301}) {
      for (int width : new int[] {1, 8, 17, 576}) {
        for (int column : new int[] {0, 3, 8}) {
          int stride = width + 16;
          float[] dys = whole(8, rows * stride);
          float[] expected = gaussian(DType.FLOAT32, 9, width);
          Tensor grad = tensor(DType.FLOAT32, expected, width);
          float[] sums = new float[width];
          for (int i = 0; i < rows * width; i++) {
            sums[i % width] += dys[i / width * stride + column + i % width];
          }
          for (int c = 0; c < width; c++) {
            expected[c] += sums[c];
          }
          Tensor dy = tensor(dtype, dys, rows, stride);
          ElementwiseKernels.columnSums(grad, dy, stride, column);
          assertSame(expected, grad, dtype + " " + rows + "x" + width + " from " + column);
        }
      }
    }
  }

  @ParameterizedTest
  @EnumSource(names = {"FLOAT32", "BFLOAT16", "FLOAT16"})
  void rowsAreAddedToTheirTokensInOrder(DType dtype) {
    int vocabulary = 11;
    for (int n : new int[] {0, 1, 40}) {
      for (int width : new int[] {1, 17, 64}) {
        int[] ids = new Random(n).ints(n, 0, vocabulary).toArray();
        float[] dys = gaussian(dtype, 10, n * width);
        float[] expected = gaussian(DType.FLOAT32, 11, vocabulary * width);
        Tensor grad = tensor(DType.FLOAT32, expected, vocabulary, width);
        int[] starts = new int[vocabulary + 1];
        int[] positions = new int[n];
        int at = 0;
        for (int token = 0; token < vocabulary; token++) {
          for (int p = 0; p < n; p++) {
            if (ids[p] == token) {
              positions[at++] = p;
              for (int c = 0; c < width; c++) {
                expected[token * width + c] += 2.5f * dys[p * width + c];
              }
            }
          }
          starts[token + 1] = at;
        }
        ElementwiseKernels.embeddingGradient(
            grad, tensor(dtype, dys, n, width), ints(positions), ints(starts), 2.5);
        assertSame(expected, grad, dtype + " " + n + "x" + width);
      }
    }
  }

  @ParameterizedTest
  @EnumSource(names = {"FLOAT32", "BFLOAT16", "FLOAT16"})
  void aFactorIsRoundedOnce(DType dtype) {
    for (int n : new int[] {0, 1, 7, 64, 1003}) {
      float[] values = gaussian(dtype, 21, n);
      float[] expected = new float[n];
      for (int i = 0; i < n; i++) {
        expected[i] = round(dtype, 33.5f * values[i]);
      }
      Tensor x = tensor(dtype, values, n);
      ElementwiseKernels.scale(x, 33.5);
      assertSame(expected, x, dtype + " " + n);
      Tensor moved = misplaced(dtype, values, n);
      ElementwiseKernels.scale(moved, 33.5);
      assertSame(expected, moved, dtype + " misplaced " + n);
    }
  }

  @ParameterizedTest
  @EnumSource(names = {"FLOAT32", "BFLOAT16", "FLOAT16"})
  void groupsOfRowsAreAddedInOrderAndRoundedOnce(DType dtype) {
    for (int group : new int[] {1, 2, 3, 9}) {
      for (int[] shape : new int[][] {{0, 8, 8}, {1, 1, 3}, {5, 6, 8}, {4, 64, 64}, {3, 80, 128}}) {
        int width = shape[1];
        int wide = shape[2];
        float[] rows = gaussian(dtype, 9, shape[0] * group * wide);
        float[] expected = new float[shape[0] * width];
        for (int i = 0; i < expected.length; i++) {
          int first = i / width * group * wide + i % width;
          float sum = rows[first];
          for (int g = 1; g < group; g++) {
            sum += rows[first + g * wide];
          }
          expected[i] = round(dtype, sum);
        }
        String what = dtype + " " + group + " of " + Arrays.toString(shape);
        Tensor out = unwritten(dtype, shape[0], width);
        ElementwiseKernels.sumGroups(
            out, tensor(dtype, rows, (long) shape[0] * group, wide), group);
        assertSame(expected, out, what);
        Tensor again = unwritten(dtype, shape[0], width);
        ElementwiseKernels.sumGroups(
            again, misplaced(dtype, rows, (long) shape[0] * group, wide), group);
        assertSame(expected, again, what + " misplaced");
      }
    }
  }

  @Test
  void columnsBeyondTheMatrixAreNamed() {
    Tensor dy = tensor(DType.FLOAT32, new float[20], 2, 10);
    Tensor grad = tensor(DType.FLOAT32, new float[4], 4);
    TensorException e =
        assertThrows(TensorException.class, () -> ElementwiseKernels.columnSums(grad, dy, 10, 7));
    assertEquals("column_sums: column is 7, expected 0 to 6", e.getMessage());
    assertEquals(
        "column_sums: dy is float32[2, 10], expected float32, bfloat16 or float16 with rows 12"
            + " elements apart",
        assertThrows(TensorException.class, () -> ElementwiseKernels.columnSums(grad, dy, 12, 0))
            .getMessage());
  }
}
