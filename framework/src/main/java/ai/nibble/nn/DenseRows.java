package ai.nibble.nn;

import ai.nibble.nn.vector.Dense512;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Tensor;
import java.nio.ByteBuffer;

/** A plain matrix whose products with one row are computed by kernels in Java. */
final class DenseRows {
  /** Bytes of rows brought onto the heap at a time: they stay in the first-level cache. */
  private static final int CHUNK_BYTES = 8192;

  private final Tensor matrix;
  private final int width;
  private final int rowBytes;

  /** Whether such products are computed with a matrix. */
  static boolean takes(Tensor matrix) {
    return (matrix.dtype() == DType.BFLOAT16 || matrix.dtype() == DType.FLOAT32)
        && matrix.device().isCpu()
        && matrix.isContiguous()
        && matrix.size(1) % Dense512.UNIT == 0;
  }

  /**
   * @param matrix {@code [out, in]}, which {@link #takes} is true of; stays the caller's
   */
  DenseRows(Tensor matrix) {
    this.matrix = matrix;
    this.width = (int) matrix.size(1);
    this.rowBytes = width * matrix.dtype().bytes();
  }

  /**
   * Products with rows {@code [begin, end)}, in float32, on the calling thread.
   *
   * @param y {@code [out]}
   */
  void multiply(long begin, long end, TokenRow x, float[] y) {
    ByteBuffer memory = matrix.bytes(begin * rowBytes, Math.toIntExact((end - begin) * rowBytes));
    int chunk = (int) Math.max(1, Math.min(end - begin, CHUNK_BYTES / rowBytes));
    byte[] rows = new byte[chunk * rowBytes];
    float[] input = x.against(matrix.dtype());
    for (long first = begin; first < end; first += chunk) {
      int n = (int) Math.min(chunk, end - first);
      memory.get((int) (first - begin) * rowBytes, rows, 0, n * rowBytes);
      for (int r = 0; r < n; r++) {
        y[(int) first + r] = dot(matrix.dtype(), rows, r * rowBytes, input, 0, width);
      }
    }
  }

  static float dot(DType dtype, byte[] rows, int at, float[] x, int from, int width) {
    return dtype == DType.BFLOAT16
        ? Dense512.dotBfloat16(rows, at, x, from, width)
        : Dense512.dotFloat32(rows, at, x, from, width);
  }
}
