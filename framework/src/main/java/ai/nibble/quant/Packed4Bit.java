package ai.nibble.quant;

import ai.nibble.tensor.Tensor;
import java.nio.ByteBuffer;

/**
 * A matrix in codes of 4 bits, two a byte, of which consecutive ones form blocks with a scale: what
 * decoding is made of. A value is {@code (codes[code] − zero) · scale} in float32, where blocks
 * have zeros, else {@code codes[code] · scale}.
 */
sealed interface Packed4Bit permits Quantized4Bit, Grouped4Bit {
  String name();

  /** Elements of the matrix. */
  long numel();

  /** uint8 with ceil(n / 2) elements: element 2k is the high nibble of byte k. */
  Tensor packed();

  /** What the 16 codes stand for; a copy. */
  float[] codes();

  /** Consecutive elements that share a scale: a power of two from 32. */
  int blockSize();

  /** One element a block, from which {@link #scales} are read. */
  Tensor scaleTensor();

  /**
   * Reads scales through a window on the bytes of {@link #scaleTensor} that starts at a block.
   *
   * @param skip blocks of the window before the first one
   */
  void scales(ByteBuffer window, long windowStart, int skip, float[] into, int n);

  /** uint8, one element a block; null where blocks have no zeros. */
  Tensor zeros();
}
