package ai.nibble.nn;

import ai.nibble.quant.GroupedMatrix;
import ai.nibble.tensor.Device;
import ai.nibble.tensor.Tensor;

/**
 * A weight in integer codes with a scale and a zero a group, as GPTQ and AWQ leave it, dequantised
 * at each use. Takes over what it is made of.
 */
public final class GroupedWeight implements Weight {
  private final GroupedMatrix matrix;

  public GroupedWeight(GroupedMatrix matrix) {
    this.matrix = matrix;
  }

  /** A copy on a device. */
  public GroupedWeight to(Device target) {
    return new GroupedWeight(matrix.to(target));
  }

  /** The codes and scales. */
  public GroupedMatrix matrix() {
    return matrix;
  }

  @Override
  public long outFeatures() {
    return matrix.outFeatures();
  }

  @Override
  public long inFeatures() {
    return matrix.inFeatures();
  }

  @Override
  public Device device() {
    return matrix.device();
  }

  @Override
  public long bytes() {
    return matrix.bytes();
  }

  @Override
  public String format() {
    return matrix.bits() + " bits in groups";
  }

  @Override
  public void writeTo(Tensor destination, long firstRow, Precision precision) {
    matrix.dequantize(destination, firstRow, precision.compute());
  }

  @Override
  public void close() {
    matrix.close();
  }
}
