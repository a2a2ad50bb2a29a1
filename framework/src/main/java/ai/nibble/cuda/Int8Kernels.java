package ai.nibble.cuda;

import ai.nibble.cuda.composed.Int8;
import ai.nibble.tensor.CudaProgram;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Grid;
import ai.nibble.tensor.Tensor;

/**
 * Row-wise int8 of LLM.int8() (Dettmers et al. 2022): {@code q = round(x · (1 / absmax · 127))},
 * half to even, with one float32 absmax a row.
 */
public final class Int8Kernels {
  static final CudaProgram PROGRAM =
      CudaProgram.of(Int8Kernels.class, "types.cuh", "int8.cu").composedAs(Int8.KERNELS);

  private static final int THREADS = 256;

  /** Row groups in which columns are zeroed: enough to keep a GPU busy with few columns. */
  private static final long ROW_GROUPS = 256;

  private Int8Kernels() {}

  /**
   * Queues the quantisation of a matrix by rows. A row of zeros has absmax 0 and zeros.
   *
   * @param in [rows, columns], float32, bfloat16 or float16, contiguous and finite
   * @param q receives int8 [rows, columns]
   * @param absmax receives float32 [rows]
   */
  public static void quantize(Tensor in, Tensor q, Tensor absmax) {
    launchQuantize(in, q, absmax, null, 0f);
  }

  /**
   * Queues the quantisation of activations, leaving outliers out: a value of magnitude {@code
   * threshold} or more does not count for its row's absmax, and the columns that hold one are zero
   * in all rows, to be multiplied in 16 bits.
   *
   * @param in [rows, columns], float32, bfloat16 or float16, contiguous and finite
   * @param q receives int8 [rows, columns]
   * @param absmax receives float32 [rows]
   * @param outliers receives uint8 [columns], 1 where a column is left out
   * @param threshold above 0; LLM.int8() has 6
   */
  public static void quantize(
      Tensor in, Tensor q, Tensor absmax, Tensor outliers, float threshold) {
    Operands operands =
        matrix("int8_quantize", "in", in)
            .number("threshold", threshold, threshold > 0, "above 0")
            .require("outliers", outliers, DType.UINT8, in.size(1));
    outliers.zero();
    launchQuantize(in, q, absmax, outliers, threshold);
    long rows = in.size(0);
    long columns = in.size(1);
    int groups = (int) Math.min(ROW_GROUPS, Math.max(1, rows));
    long blocks = (columns + THREADS - 1) / THREADS;
    operands.launch(
        PROGRAM,
        "int8_zero_columns",
        Grid.of(rows == 0 ? 0 : blocks, groups, THREADS),
        q,
        outliers,
        rows,
        columns);
  }

  private static void launchQuantize(
      Tensor in, Tensor q, Tensor absmax, Tensor outliers, float threshold) {
    matrix("int8_quantize", "in", in)
        .require("q", q, DType.INT8, in.shape())
        .require("absmax", absmax, DType.FLOAT32, in.size(0))
        .launchTyped(
            PROGRAM,
            "int8_quantize_rows",
            Grid.of(in.size(0), THREADS),
            q,
            absmax,
            outliers,
            in,
            in.size(1),
            threshold);
  }

  /**
   * Queues the recovery of a product of two such matrices: {@code y[r, c] = sums[r, c] / 127² ·
   * rowAbsmax[r] · columnAbsmax[c]} in float32 from left to right, with 1 / 127² as bitsandbytes
   * writes it, 6.200012e-05.
   *
   * @param sums int32 [rows, columns], contiguous
   * @param rowAbsmax float32 [rows], of the activations
   * @param columnAbsmax float32 [columns], of the weight's rows
   * @param y receives float32, bfloat16 or float16 [rows, columns], contiguous
   */
  public static void recover(Tensor sums, Tensor rowAbsmax, Tensor columnAbsmax, Tensor y) {
    int chunks = chunks(y);
    matrix("int8_recover", "y", y)
        .require("sums", sums, DType.INT32, y.shape())
        .require("rowAbsmax", rowAbsmax, DType.FLOAT32, y.size(0))
        .require("columnAbsmax", columnAbsmax, DType.FLOAT32, y.size(1))
        .launchTyped(
            PROGRAM,
            "int8_recover",
            Grid.of(Math.multiplyExact(y.size(0), chunks), THREADS),
            y,
            sums,
            rowAbsmax,
            columnAbsmax,
            y.size(1),
            chunks);
  }

  /**
   * Queues {@code w[r, c] = q[r, c] · absmax[r] / 127}.
   *
   * @param q int8 [rows, columns], contiguous
   * @param absmax float32 [rows]
   * @param w receives float32, bfloat16 or float16 [rows, columns], contiguous
   */
  public static void dequantize(Tensor q, Tensor absmax, Tensor w) {
    int chunks = chunks(w);
    matrix("int8_dequantize", "w", w)
        .require("q", q, DType.INT8, w.shape())
        .require("absmax", absmax, DType.FLOAT32, w.size(0))
        .launchTyped(
            PROGRAM,
            "int8_dequantize_rows",
            Grid.of(Math.multiplyExact(w.size(0), chunks), THREADS),
            w,
            q,
            absmax,
            w.size(1),
            chunks);
  }

  private static Operands matrix(String operation, String name, Tensor tensor) {
    return Operands.like(operation, name, tensor).dimensions(name, tensor, 2);
  }

  /** Blocks of one row. */
  private static int chunks(Tensor matrix) {
    return Math.toIntExact((matrix.size(-1) + THREADS - 1) / THREADS);
  }
}
