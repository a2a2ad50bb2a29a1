package ai.nibble.optim;

import ai.nibble.nn.ParameterSet;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Device;
import ai.nibble.tensor.Pages;
import ai.nibble.tensor.Tensor;
import java.util.function.BiFunction;

/**
 * Where an optimizer on a device keeps what it remembers: in the device's memory, or in {@link
 * Pages} that leave it while there is no update. It is freed with the parameters.
 */
final class MomentMemory {
  private final ParameterSet parameters;

  /** Null where moments are not paged. */
  private final Pages pages;

  private MomentMemory(ParameterSet parameters, Pages pages) {
    this.parameters = parameters;
    this.pages = pages;
  }

  /** The device's own memory. */
  static MomentMemory resident(ParameterSet parameters) {
    return new MomentMemory(parameters, null);
  }

  /**
   * Pages.
   *
   * @param bytes of all tensors to come, as {@link Pages#bytesFor} counts them
   * @param allocate makes them, {@link Pages#of}
   */
  static MomentMemory paged(
      ParameterSet parameters, long bytes, BiFunction<Device, Long, Pages> allocate) {
    Pages pages = allocate.apply(parameters.values().device(), bytes);
    return new MomentMemory(parameters, parameters.own(pages));
  }

  /** A vector of undefined values. */
  Tensor take(DType dtype, long elements) {
    return parameters.own(
        pages == null
            ? Tensor.empty(parameters.values().device(), dtype, elements)
            : pages.take(dtype, elements));
  }

  /** Has all moments on the device for the update that is queued next. */
  void fetch() {
    if (pages != null) {
      pages.prefetch();
    }
  }
}
