package ai.nibble.quant;

import ai.nibble.tensor.DType;
import ai.nibble.tensor.Tensor;

/**
 * A matrix of unsigned integer codes, of which a group of columns shares a scale and a zero in each
 * row: {@code w = (code − zero) · scale}, in float32. GPTQ and AWQ leave such matrices.
 */
public sealed interface GroupedMatrix extends QuantizedMatrix permits Grouped4Bit, Grouped8Bit {
  /** Bits of a code as it is held. */
  int bits();

  /**
   * Writes the values into the left columns of some rows of a matrix, on all cores.
   *
   * @param destination contiguous {@code [rows, width]} on the CPU, float32 or bfloat16
   * @param firstRow row of the destination that takes the first row
   * @param rounded dtype that values are rounded to before they are widened to the destination's
   */
  void dequantize(Tensor destination, long firstRow, DType rounded);
}
