package ai.nibble.train;

import ai.nibble.tensor.Device;
import ai.nibble.tensor.HostCopies;
import ai.nibble.tensor.Tensor;
import java.util.function.DoubleSupplier;

/**
 * Numbers that a device has still to compute, read when they are there: the host waits for the
 * number, not for what was queued after it.
 */
final class LateNumbers implements AutoCloseable {
  private final HostCopies copies;

  LateNumbers(Device device) {
    this.copies = HostCopies.of(device);
  }

  /** Whether the numbers of a device are worth it: it computes while the host does other things. */
  static boolean serves(Device device) {
    return HostCopies.serve(device);
  }

  /**
   * Begins to read a number.
   *
   * @param value float32 or float64 {@code [1]}; it may be closed after
   * @return gives the number, waiting for it; to be asked, or never after this is closed
   */
  DoubleSupplier begin(Tensor value) {
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

  /** Waits for what is on its way. */
  @Override
  public void close() {
    copies.close();
  }
}
