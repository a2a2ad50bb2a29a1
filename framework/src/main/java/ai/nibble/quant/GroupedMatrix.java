package ai.nibble.quant;

import ai.nibble.tensor.DType;
import ai.nibble.tensor.Device;
import ai.nibble.tensor.Tensor;

/**
 * A matrix of unsigned integer codes, of which a group of columns shares a scale and a zero in each
 * row: {@code w = (code − zero) · scale}, in float32. GPTQ and AWQ leave such matrices.
 */
public sealed interface GroupedMatrix extends QuantizedMatrix permits Grouped4Bit, Grouped8Bit {
  /** Bits of a code as it is held. */
  int bits();

  /** A copy on a device. */
  GroupedMatrix to(Device target);

  /**
   * Writes the values into the left columns of some rows of a matrix: on the CPU on all cores, on a
   * device by a kernel.
   *
   * @param destination contiguous {@code [rows, width]} where this is, float32, bfloat16 or float16
   * @param firstRow row of the destination that takes the first row
   * @param rounded dtype that values are rounded to before they are widened to the destination's;
   *     on a device the same
   */
  void dequantize(Tensor destination, long firstRow, DType rounded);
}
