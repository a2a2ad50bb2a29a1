package ai.nibble.nn;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import ai.nibble.cuda.KernelTestCase;
import ai.nibble.cuda.LoraKernels;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Device;
import ai.nibble.tensor.Tensor;
import ai.nibble.tensor.TensorException;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** The adapters' kernels against {@link Dropout} and plain loops, bit for bit. */
class LoraKernelsTest extends KernelTestCase {
  private static final long KEY = Dropout.key(0x123456789abcdefL, 5);

  private static float[] dropped(float[] values, int width, double p) {
    float[] result = new float[values.length];
    long stride = (width + 3L) & ~3L;
    float[] row = new float[width];
    for (int at = 0; at < values.length; at += width) {
      System.arraycopy(values, at, row, 0, width);
      Dropout.apply(row, width, at / width * stride, KEY, p);
      System.arraycopy(row, 0, result, at, width);
    }
    return result;
  }

  private static float[] rounded(DType dtype, float[] values) {
    float[] result = new float[values.length];
    for (int i = 0; i < values.length; i++) {
      result[i] = round(dtype, values[i]);
    }
    return result;
  }

  @ParameterizedTest
  @EnumSource(names = {"FLOAT32", "BFLOAT16", "FLOAT16"})
  void dropsWhatTheCpuDrops(DType dtype) {
    for (int rows : new int[] {0, 1, 5}) {
      for (int width : WIDTHS) {
        for (double p : new double[] {0, 0.05, 0.5, 0.999}) {
          String what = dtype + " " + rows + "x" + width + ", p " + p;
          float[] xs = gaussian(dtype, 1, rows * width);
          float[] expected = rounded(dtype, dropped(xs, width, p));
          Tensor out = unwritten(dtype, rows, width);
          LoraKernels.dropout(out, tensor(dtype, xs, rows, width), KEY, p);
          assertSame(expected, out, what);
          Tensor moved = misplaced(dtype, xs, rows, width);
          LoraKernels.dropout(moved, moved, KEY, p);
          assertSame(expected, moved, what + ", misplaced and in place");
        }
      }
    }
  }

  @ParameterizedTest
  @EnumSource(names = {"FLOAT32", "BFLOAT16", "FLOAT16"})
  void inputGradientsAreSummedInOrderAndRoundedOnce(DType dtype) {
    for (int rows : new int[] {0, 1, 5}) {
      for (int width : WIDTHS) {
        for (int rank : new int[] {0, 3, 16}) {
          for (int parts = 0; parts < 4; parts++) {
            checkInputGradient(dtype, rows, width, rank, parts, 0.1);
          }
          checkInputGradient(dtype, rows, width, rank, 3, 0);
        }
      }
    }
  }

  /** Bit 0 of parts: something comes through the adapters; bit 1: a gradient was there before. */
  private void checkInputGradient(DType dtype, int rows, int width, int rank, int parts, double p) {
    float[] alls = gaussian(dtype, 2, rows * (width + rank));
    float[] throughs = gaussian(dtype, 3, rows * width);
    float[] priors = gaussian(dtype, 4, rows * width);
    float[] low = dropped(throughs, width, p);
    float[] expected = new float[rows * width];
    for (int i = 0; i < expected.length; i++) {
      float sum = alls[i / width * (width + rank) + i % width];
      sum += (parts & 1) == 0 ? 0 : low[i];
      sum += (parts & 2) == 0 ? 0 : priors[i];
      expected[i] = round(dtype, sum);
    }
    Tensor all = tensor(dtype, alls, rows, width + rank);
    Tensor through = (parts & 1) == 0 ? null : tensor(dtype, throughs, rows, width);
    Tensor prior = (parts & 2) == 0 ? null : tensor(dtype, priors, rows, width);
    Tensor result = prior == null ? unwritten(dtype, rows, width) : prior;
    LoraKernels.inputGradient(result, all, through, prior, KEY, p);
    assertSame(expected, result, dtype + " " + rows + "x" + width + "+" + rank + ", " + parts);
  }

  @ParameterizedTest
  @EnumSource(names = {"FLOAT32", "BFLOAT16", "FLOAT16"})
  void droppingReadsRowsThatLieApart(DType dtype) {
    for (int width : WIDTHS) {
      for (int room : new int[] {3, 64}) {
        float[] xs = gaussian(dtype, 12, 3 * width);
        Tensor x = scope.own(Tensor.emptyRows(Device.CPU, dtype, 3, width, width + room));
        x.copyFrom(tensor(dtype, xs, 3, width));
        Tensor out = unwritten(dtype, 3, width);
        LoraKernels.dropout(out, x, KEY, 0.5);
        assertSame(rounded(dtype, dropped(xs, width, 0.5)), out, dtype + " " + width + "+" + room);
      }
    }
  }

  @ParameterizedTest
  @EnumSource(names = {"FLOAT32", "BFLOAT16", "FLOAT16"})
  void operandsStandSideBySideBeforeZeros(DType dtype) {
    for (int width : WIDTHS) {
      for (int rank : new int[] {1, 8, 16}) {
        for (int zeros : new int[] {0, 5, 48}) {
          int all = width + rank + zeros;
          float[] xs = gaussian(dtype, 5, 3 * width);
          float[] hs = gaussian(dtype, 6, 3 * rank);
          float[] expected = new float[3 * all];
          for (int r = 0; r < 3; r++) {
            System.arraycopy(xs, r * width, expected, r * all, width);
            System.arraycopy(hs, r * rank, expected, r * all + width, rank);
          }
          Tensor extended = unwritten(dtype, 3, all);
          LoraKernels.extend(extended, tensor(dtype, xs, 3, width), tensor(dtype, hs, 3, rank));
          assertSame(expected, extended, dtype + " " + width + "+" + rank + "+" + zeros);
        }
      }
    }
  }

  @ParameterizedTest
  @EnumSource(names = {"FLOAT32", "BFLOAT16", "FLOAT16"})
  void scaledUpProjectionsStandAmongZeros(DType dtype) {
    checkUpProjection(dtype, 30, 20, 8, 4); // single elements
    checkUpProjection(dtype, 48, 16, 16, 7); // 16 bytes at a time, some of which have both
    checkUpProjection(dtype, 48, 16, 32, 29);
  }

  private void checkUpProjection(DType dtype, int stride, int first, int ranks, int column) {
    double scaling = 32 / Math.sqrt(3);
    float[] before = whole(8, 9 * stride);
    float[] bs = gaussian(DType.FLOAT32, 9, 5 * 3);
    for (boolean adapted : new boolean[] {true, false}) {
      float[] expected = before.clone();
      for (int r = 0; r < 5; r++) {
        for (int c = 0; c < ranks; c++) {
          boolean own = adapted && c >= column && c < column + 3;
          float value = own ? (float) (bs[r * 3 + c - column] * scaling) : 0;
          expected[(2 + r) * stride + first + c] = round(dtype, value);
        }
      }
      Tensor destination = tensor(dtype, before, 9, stride);
      Tensor b = adapted ? tensor(DType.FLOAT32, bs, 5, 3) : null;
      LoraKernels.up(destination, 2, first, ranks, column, b, scaling, 5);
      assertSame(expected, destination, dtype + " of " + stride + ", adapted " + adapted);
    }
  }

  @ParameterizedTest
  @EnumSource(names = {"FLOAT32", "BFLOAT16", "FLOAT16"})
  void downProjectionsStandBelowEachOther(DType dtype) {
    for (int width : WIDTHS) {
      float[] before = whole(10, 6 * width);
      float[] as = gaussian(DType.FLOAT32, 11, 3 * width);
      Tensor destination = tensor(dtype, before, 6, width);
      LoraKernels.down(destination, 2, tensor(DType.FLOAT32, as, 3, width));
      System.arraycopy(rounded(dtype, as), 0, before, 2 * width, 3 * width);
      assertSame(before, destination, dtype + " " + width);
    }
  }

  @Test
  void placesOutsideTheDestinationAreNamed() {
    Tensor destination = tensor(DType.FLOAT32, new float[40], 4, 10);
    Tensor b = tensor(DType.FLOAT32, new float[4], 2, 2);
    assertEquals(
        "lora_up: firstRow is 3, expected 0 to 2",
        assertThrows(TensorException.class, () -> LoraKernels.up(destination, 3, 6, 4, 0, b, 1, 2))
            .getMessage());
    assertEquals(
        "lora_up: column is 3, expected 0 to 2",
        assertThrows(TensorException.class, () -> LoraKernels.up(destination, 0, 6, 4, 3, b, 1, 2))
            .getMessage());
    assertEquals(
        "lora_dropout: p is 1.0, expected from 0 to below 1",
        assertThrows(
                TensorException.class, () -> LoraKernels.dropout(destination, destination, 1, 1))
            .getMessage());
    Tensor narrow = tensor(DType.FLOAT32, new float[20], 4, 5);
    assertEquals(
        "lora_extend: in + r is 15, expected at most extended's 10",
        assertThrows(
                TensorException.class, () -> LoraKernels.extend(destination, destination, narrow))
            .getMessage());
  }
}
