package ai.nibble.quant;

import ai.nibble.tensor.Device;

/**
 * A weight matrix held quantised, whatever its format. Immutable, safe to read from several
 * threads, and owner of its native memory until closed.
 */
public sealed interface QuantizedMatrix extends AutoCloseable
    permits Quantized4Bit, Quantized8Bit, GroupedMatrix {
  /** The weight's name, as messages show it. */
  String name();

  /** Rows. */
  long outFeatures();

  /** Columns. */
  long inFeatures();

  /** Where it is held. */
  Device device();

  /** Bytes of codes and scales. */
  long bytes();

  /**
   * Values of consecutive elements of the row-major matrix, float32; the matrix is on the CPU.
   *
   * @param first element, which may lie inside a row
   * @param into receives {@code count} values from {@code offset} on
   */
  void read(long first, float[] into, int offset, int count);

  @Override
  void close();
}
