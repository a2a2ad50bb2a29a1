package ai.nibble.cuda.composed;

import ai.nibble.tensor.Aten;
import ai.nibble.tensor.ComposedKernel;
import ai.nibble.tensor.KernelArguments;
import ai.nibble.tensor.Tensor;
import java.util.Map;

/** The kernels of {@code column_sums.cu}: a chunk of rows is a part. */
public final class Columns {
  /** By name. */
  public static final Map<String, ComposedKernel> KERNELS =
      Map.of(
          "column_sums", Columns::sums,
          "normed_column_sums", Columns::normedSums,
          "column_sums_add", Columns::add);

  private Columns() {}

  /** What of a chunk of rows is summed. */
  private interface Chunk {
    Tensor rows(Aten at, long begin, long count);
  }

  private static void sum(Tensor partial, long rows, long rowsPerChunk, Chunk chunk) {
    for (long begin = 0; begin < rows; begin += rowsPerChunk) {
      try (Aten at = new Aten()) {
        Tensor summed = chunk.rows(at, begin, Math.min(rowsPerChunk, rows - begin));
        at.narrow(partial, 0, begin / rowsPerChunk, 1).copyFrom(at.columnSums(summed));
      }
    }
  }

  private static void sums(KernelArguments arguments) {
    Tensor partial = arguments.tensor();
    Tensor dy = arguments.tensor();
    long rows = arguments.whole();
    long width = arguments.whole();
    long column = arguments.skip(1).whole();
    sum(
        partial,
        rows,
        arguments.whole(),
        (at, begin, count) -> at.narrow(at.narrow(dy, 0, begin, count), 1, column, width));
  }

  private static void normedSums(KernelArguments arguments) {
    Tensor partial = arguments.tensor();
    Tensor dy = arguments.tensor();
    Tensor x = arguments.tensor();
    Tensor inverse = arguments.tensor();
    boolean rounds = arguments.flag();
    long rows = arguments.whole();
    sum(
        partial,
        rows,
        arguments.skip(1).whole(),
        (at, begin, count) -> {
          Tensor factor = at.view(at.narrow(inverse, 0, begin, count), count, 1);
          Tensor normed = at.mul(at.floats(at.narrow(x, 0, begin, count)), factor);
          Tensor met = rounds ? at.floats(at.as(normed, x.dtype())) : normed;
          return at.mul(at.floats(at.narrow(dy, 0, begin, count)), met);
        });
  }

  private static void add(KernelArguments arguments) {
    Tensor grad = arguments.tensor();
    Tensor partial = arguments.tensor();
    try (Aten at = new Aten()) {
      Tensor sums = at.flat(at.floats(at.columnSums(partial)));
      grad.copyFrom(at.add(grad, sums));
    }
  }
}
