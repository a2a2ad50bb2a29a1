package ai.nibble.nn;

import ai.nibble.nn.vector.Pairs512;
import ai.nibble.quant.PackedProduct;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Tensor;
import java.nio.ByteBuffer;

/**
 * Rows of bfloat16 on the CPU that loops in 512-bit registers go over where they lie. Where this
 * JVM or CPU has none, or rows are of another kind, {@link ai.nibble.tensor.Rows} are for them.
 */
final class PairRows {
  private static final boolean AVAILABLE = PackedProduct.isAvailable() && Pairs512.isSupported();

  private PairRows() {}

  /** Whether this JVM on this machine goes over any rows so. */
  static boolean isAvailable() {
    return AVAILABLE;
  }

  /** Whether rows of so many elements are gone over so. */
  static boolean fit(long width) {
    return AVAILABLE && width > 0 && width % Pairs512.UNIT == 0;
  }

  /** Whether rows of so many elements, which may be part of a tensor's rows, are gone over so. */
  static boolean serve(long width, Tensor... tensors) {
    if (!fit(width)) {
      return false;
    }
    for (Tensor t : tensors) {
      boolean serves =
          t == null || t.device().isCpu() && t.dtype() == DType.BFLOAT16 && t.isContiguous();
      if (!serves) {
        return false;
      }
    }
    return true;
  }

  /** Rows {@code [begin, end)} of a matrix, below 2 GiB; null of null. */
  static ByteBuffer window(Tensor matrix, long begin, long end) {
    if (matrix == null) {
      return null;
    }
    long bytes = bytes(matrix);
    return matrix.bytes(begin * bytes, Math.toIntExact((end - begin) * bytes));
  }

  /** Bytes of a matrix's row. */
  static int bytes(Tensor matrix) {
    return Math.toIntExact(matrix.size(-1) * Short.BYTES);
  }
}
