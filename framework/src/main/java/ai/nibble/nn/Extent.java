package ai.nibble.nn;

import ai.nibble.tensor.DType;
import ai.nibble.tensor.Device;
import ai.nibble.tensor.Rows;
import ai.nibble.tensor.TensorMemory;

/**
 * What the memory of a pass depends on beside the layers' sizes.
 *
 * @param sequenceStarts as {@link Pass#sequenceStarts}
 * @param precision the computation's
 * @param where the tensors are
 * @param kernels whether {@link Kernels} compute: on every device but the CPU
 * @param threads of one operation on the CPU
 */
public record Extent(
    int[] sequenceStarts, Precision precision, Device.Type where, boolean kernels, int threads) {

  /** Tokens of all sequences. */
  public int tokens() {
    return sequenceStarts[sequenceStarts.length - 1];
  }

  /** Bytes that a tensor takes. */
  public long bytes(DType dtype, long... shape) {
    long bytes = dtype.bytes();
    for (long size : shape) {
      bytes *= size;
    }
    return TensorMemory.allocatedBytes(where, bytes);
  }

  /** Bytes of a tensor that libtorch makes itself: on the CPU as large as its elements. */
  long made(DType dtype, long... shape) {
    long bytes = dtype.bytes();
    for (long size : shape) {
      bytes *= size;
    }
    return where == Device.Type.CPU ? bytes : TensorMemory.allocatedBytes(where, bytes);
  }

  /**
   * Bytes of what loops in Java hold beside the tensors they go over: each thread so many {@link
   * Rows}, which copy unless the tensors are float32.
   */
  long windows(int count, long rows, long width) {
    if (kernels || precision.compute() == DType.FLOAT32) {
      return 0;
    }
    return threads * count * bytes(DType.FLOAT32, Math.min(rows, Rows.grain(width)), width);
  }

  /** Whether loops over rows of so many elements of the compute dtype need no {@link #windows}. */
  boolean inRegisters(long width) {
    return !kernels
        && where == Device.Type.CPU
        && precision.compute() == DType.BFLOAT16
        && PairRows.fit(width);
  }

  /** Bytes of a tensor in the compute dtype. */
  long compute(long... shape) {
    return bytes(precision.compute(), shape);
  }

  /** Bytes of a tensor in the product's dtype. */
  long product(long... shape) {
    return bytes(precision.product(), shape);
  }
}
