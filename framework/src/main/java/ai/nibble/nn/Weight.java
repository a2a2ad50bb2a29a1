package ai.nibble.nn;

import ai.nibble.tensor.Device;
import ai.nibble.tensor.Tensor;
import java.util.Optional;

/**
 * A weight matrix {@code [out, in]}: frozen in one format or another, or trained. Products are
 * those with the values that {@link #writeTo} gives, but for {@link Quant8Weight}, whose forward
 * product is its own.
 */
public interface Weight extends AutoCloseable {
  long outFeatures();

  long inFeatures();

  /** Where it is held. */
  Device device();

  /** Bytes held in memory. */
  long bytes();

  /** How the weight is held, for people: {@code bfloat16}, {@code nf4 + double quant}. */
  String format();

  /** What backward adds this weight's gradient to; empty where the weight is frozen. */
  default Optional<Parameter> parameter() {
    return Optional.empty();
  }

  /**
   * Writes the weight, row-major, into the left columns of some rows of a matrix, rounded first to
   * the compute dtype and then widened to the destination's.
   *
   * @param destination contiguous {@code [rows, width]}, float32 or bfloat16; columns from {@code
   *     inFeatures} on stay as they are
   * @param firstRow row of the destination that takes the weight's first row
   * @param precision the computation's
   */
  void writeTo(Tensor destination, long firstRow, Precision precision);

  @Override
  void close();
}
