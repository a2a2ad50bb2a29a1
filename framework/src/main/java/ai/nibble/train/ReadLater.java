package ai.nibble.train;

import ai.nibble.nn.ParameterSet;
import ai.nibble.optim.Poison;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Device;
import ai.nibble.tensor.Tensor;
import java.util.function.DoubleSupplier;

/**
 * Losses and norms of steps that are only queued, read late. Where one is not finite, no update is
 * written from then on, so that the weights are those of before whenever the host comes to know.
 */
final class ReadLater {
  private final LateNumbers numbers;
  private final Tensor sound;

  /**
   * @param parameters whose values the updates change; what this needs is freed with them
   * @param numbers of their device
   */
  ReadLater(ParameterSet parameters, LateNumbers numbers) {
    Device device = parameters.values().device();
    this.numbers = numbers;
    this.sound = parameters.own(Tensor.empty(device, DType.FLOAT64, 1)).zero();
  }

  /** Float64 {@code [1]}, not finite where a number was not. */
  Tensor sound() {
    return sound;
  }

  /** Begins to read a loss, as {@link LateNumbers#begin}. */
  DoubleSupplier loss(Tensor value) {
    Poison.spread(sound, value);
    return number(value);
  }

  /** Begins to read a number that an update looks at itself. */
  DoubleSupplier number(Tensor value) {
    return numbers.begin(value);
  }
}
