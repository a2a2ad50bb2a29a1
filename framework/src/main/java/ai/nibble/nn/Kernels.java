package ai.nibble.nn;

import ai.nibble.tensor.Device;
import ai.nibble.tensor.KernelLaunchers;
import ai.nibble.tensor.Tensor;
import ai.nibble.tensor.TensorException;

/** Decides between the two ways of computing what libtorch does not: kernels, or loops in Java. */
final class Kernels {
  private Kernels() {}

  /**
   * Whether a tensor's memory is worked on by kernels.
   *
   * @throws TensorException if it is on a device that has no kernels
   */
  static boolean serve(Tensor tensor) {
    return serve(tensor.device());
  }

  static boolean serve(Device device) {
    if (KernelLaunchers.serves(device)) {
      return true;
    }
    if (!device.isCpu()) {
      throw new TensorException(
          device + ": libtorch does not compute there; 'nibble doctor' says what is missing");
    }
    return false;
  }
}
