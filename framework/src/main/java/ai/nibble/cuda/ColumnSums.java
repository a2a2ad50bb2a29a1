package ai.nibble.cuda;

import ai.nibble.cuda.composed.Columns;
import ai.nibble.tensor.CudaProgram;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Grid;
import ai.nibble.tensor.Tensor;

/**
 * Float32 sums over the rows of a matrix in two passes, by chunks of rows whose number depends on
 * the rows' alone: the same bits every time, on every GPU.
 */
final class ColumnSums {
  static final CudaProgram PROGRAM =
      CudaProgram.of(ColumnSums.class, "types.cuh", "rows.cuh", "column_sums.cu")
          .composedAs(Columns.KERNELS);

  private static final int THREADS = 256;
  private static final int COLUMN_LANES = 32;
  private static final int LEAST_ROWS_A_CHUNK = 64;
  private static final int MOST_CHUNKS = 128;

  private ColumnSums() {}

  /** What adds the chunks' sums up to partial {@code [chunks, width]}. */
  private interface Chunks {
    void sum(Tensor partial, Grid grid, long rowsPerChunk);
  }

  private static void add(Operands operands, Tensor grad, long rows, Chunks chunks) {
    if (rows == 0) {
      return;
    }
    int width = (int) grad.numel();
    long rowsPerChunk = Math.max(LEAST_ROWS_A_CHUNK, (rows + MOST_CHUNKS - 1) / MOST_CHUNKS);
    int count = (int) ((rows + rowsPerChunk - 1) / rowsPerChunk);
    int tile = COLUMN_LANES * 16 / operands.dtype().bytes();
    try (Tensor partial = Tensor.empty(operands.device(), DType.FLOAT32, count, width)) {
      chunks.sum(partial, Grid.of((width + tile - 1) / tile, count, THREADS), rowsPerChunk);
      Grid grid = Grid.covering(width, THREADS, THREADS);
      operands.launch(PROGRAM, "column_sums_add", grid, grad, partial, count, width);
    }
  }

  /** Adds the sums of dy's columns from {@code column} on; rows are {@code rowStride} apart. */
  static void add(Operands operands, Tensor grad, Tensor dy, long rowStride, int column) {
    long rows = dy.size(0);
    int width = (int) grad.numel();
    add(
        operands,
        grad,
        rows,
        (partial, grid, rowsPerChunk) ->
            operands.launchTyped(
                PROGRAM,
                "column_sums",
                grid,
                partial,
                dy,
                rows,
                width,
                rowStride,
                column,
                rowsPerChunk));
  }

  /**
   * Adds the sums of dy times x after normalisation by each row's inverse.
   *
   * @param rounds whether the normalised value is rounded to x's dtype
   */
  static void addNormed(
      Operands operands, Tensor grad, Tensor dy, Tensor x, Tensor inverse, boolean rounds) {
    long rows = dy.size(0);
    int width = (int) grad.numel();
    add(
        operands,
        grad,
        rows,
        (partial, grid, rowsPerChunk) ->
            operands.launchTyped(
                PROGRAM,
                "normed_column_sums",
                grid,
                partial,
                dy,
                x,
                inverse,
                rounds ? 1 : 0,
                rows,
                width,
                rowsPerChunk));
  }
}
