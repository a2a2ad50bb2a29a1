package ai.nibble.cuda;

import ai.nibble.tensor.CudaProgram;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Device;
import ai.nibble.tensor.Grid;
import ai.nibble.tensor.Tensor;
import ai.nibble.tensor.TensorException;

/**
 * Row-wise int8 of LLM.int8() (Dettmers et al. 2022): {@code q = round(x · (127 / absmax))}, half
 * to even, with one float32 absmax a row.
 */
public final class Int8Rows {
  static final CudaProgram PROGRAM = CudaProgram.of(Int8Rows.class, "types.cuh", "int8.cu");

  private static final int THREADS = 256;

  /** Row groups in which columns are zeroed: enough to keep a GPU busy with few columns. */
  private static final long ROW_GROUPS = 256;

  private Int8Rows() {}

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
    if (!(threshold > 0)) {
      throw new TensorException("threshold is " + threshold + ", expected above 0");
    }
    Operands.vector("outliers", outliers, DType.UINT8, in.size(-1), in.device());
    outliers.zero();
    launchQuantize(in, q, absmax, outliers, threshold);
    long rows = in.size(0);
    int groups = (int) Math.min(ROW_GROUPS, Math.max(1, rows));
    Grid grid = Grid.covering(in.size(1), THREADS, THREADS);
    PROGRAM.launch(
        "int8_zero_columns",
        in.device(),
        Grid.of(grid.blocksX(), groups, THREADS),
        q,
        outliers,
        rows,
        in.size(1));
  }

  private static void launchQuantize(
      Tensor in, Tensor q, Tensor absmax, Tensor outliers, float threshold) {
    String suffix = Operands.suffix(in);
    matrix("in", in, in.dtype(), in);
    matrix("q", q, DType.INT8, in);
    Operands.vector("absmax", absmax, DType.FLOAT32, in.size(0), in.device());
    PROGRAM.launch(
        "int8_quantize_rows_" + suffix,
        in.device(),
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
    Device device = y.device();
    String suffix = Operands.suffix(y);
    matrix("y", y, y.dtype(), y);
    matrix("sums", sums, DType.INT32, y);
    Operands.vector("row absmax", rowAbsmax, DType.FLOAT32, y.size(0), device);
    Operands.vector("column absmax", columnAbsmax, DType.FLOAT32, y.size(1), device);
    long chunks = Operands.ceilDiv(y.size(1), THREADS);
    PROGRAM.launch(
        "int8_recover_" + suffix,
        device,
        Grid.of(Operands.blocks(y.size(0), chunks), THREADS),
        y,
        sums,
        rowAbsmax,
        columnAbsmax,
        y.size(1),
        (int) chunks);
  }

  /**
   * Queues {@code w[r, c] = q[r, c] · absmax[r] / 127}.
   *
   * @param q int8 [rows, columns], contiguous
   * @param absmax float32 [rows]
   * @param w receives float32, bfloat16 or float16 [rows, columns], contiguous
   */
  public static void dequantize(Tensor q, Tensor absmax, Tensor w) {
    String suffix = Operands.suffix(w);
    matrix("w", w, w.dtype(), w);
    matrix("q", q, DType.INT8, w);
    Operands.vector("absmax", absmax, DType.FLOAT32, w.size(0), w.device());
    long chunks = Operands.ceilDiv(w.size(1), THREADS);
    PROGRAM.launch(
        "int8_dequantize_rows_" + suffix,
        w.device(),
        Grid.of(Operands.blocks(w.size(0), chunks), THREADS),
        w,
        q,
        absmax,
        w.size(1),
        (int) chunks);
  }

  private static void matrix(String name, Tensor tensor, DType dtype, Tensor like) {
    if (tensor.dim() != 2 || like.dim() != 2) {
      throw new TensorException(name + " is " + tensor + ", expected a matrix like " + like);
    }
    Operands.vector(name, tensor, dtype, like.numel(), like.device());
    if (tensor.size(0) != like.size(0)) {
      throw new TensorException(name + " is " + tensor + ", expected a matrix like " + like);
    }
  }
}
