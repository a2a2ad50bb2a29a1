package ai.nibble.train;

import ai.nibble.nn.ParameterSet;
import ai.nibble.optim.Poison;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Device;
import ai.nibble.tensor.HostCopies;
import ai.nibble.tensor.Tensor;
import java.util.function.DoubleSupplier;

/**
 * Numbers that a device has still to compute, read when they are there: the host waits for the
 * number, not for what was queued after it. Where one is not finite, no update is written from then
 * on, so that the weights are those of before whenever the host comes to know.
 */
final class ReadLater {
  private final HostCopies copies;
  private final Tensor sound;

  /**
   * @param parameters whose values the updates change; what this needs is freed with them
   */
  ReadLater(ParameterSet parameters) {
    Device device = parameters.values().device();
    this.copies = parameters.own(HostCopies.of(device));
    this.sound = parameters.own(Tensor.empty(device, DType.FLOAT64, 1)).zero();
  }

  /** Whether the numbers of a device are worth it: it computes while the host does other things. */
  static boolean serves(Device device) {
    return HostCopies.serve(device);
  }

  /** Float64 {@code [1]}, not finite where a number was not. */
  Tensor sound() {
    return sound;
  }

  /**
   * Begins to read a loss.
   *
   * @param value float32 or float64 {@code [1]}; it may be closed after
   * @return gives the number, waiting for it; to be asked, in the end
   */
  DoubleSupplier loss(Tensor value) {
    Poison.spread(sound, value);
    return number(value);
  }

  /** Begins to read a number that an update looks at itself. */
  DoubleSupplier number(Tensor value) {
    return new Read(copies.begin(value));
  }

  /** A number, read once. */
  private static final class Read implements DoubleSupplier {
    private HostCopies.Copy copy;
    private double value;

    Read(HostCopies.Copy copy) {
      this.copy = copy;
      copy.arrive(); // what is computed next may have the memory
    }

    @Override
    public double getAsDouble() {
      if (copy != null) {
        value = copy.item();
        copy.close();
        copy = null;
      }
      return value;
    }
  }
}
