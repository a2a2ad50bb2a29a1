package ai.nibble.optim;

import ai.nibble.nn.ParameterSet;
import ai.nibble.tensor.Device;
import ai.nibble.tensor.KernelLaunchers;
import ai.nibble.tensor.Pages;
import java.util.List;
import java.util.function.BiFunction;

/**
 * AdamW whose moments leave a GPU's memory while there is no update (Dettmers et al. 2023, section
 * 3, "Paged Optimizers"): they lie in {@link Pages}. It gives the bits of the same optimizer
 * without pages. On the CPU, whose main memory they are in anyway, it is that optimizer.
 *
 * @param unpaged {@link AdamWConfig} or {@link AdamW8bitConfig}
 */
public record PagedConfig(OptimizerConfig unpaged) implements OptimizerConfig {
  public PagedConfig {
    if (!(unpaged instanceof AdamWConfig) && !(unpaged instanceof AdamW8bitConfig)) {
      throw new IllegalArgumentException("no paged form of " + unpaged);
    }
  }

  @Override
  public double weightDecay() {
    return unpaged.weightDecay();
  }

  @Override
  public double bytesAValue() {
    return unpaged.bytesAValue();
  }

  @Override
  public double savedBytesAValue() {
    return unpaged.savedBytesAValue();
  }

  @Override
  public boolean isPaged() {
    return true;
  }

  @Override
  public Optimizer onOneDevice(ParameterSet parameters, List<ParameterRange> ranges) {
    return KernelLaunchers.serves(parameters.values().device())
        ? over(parameters, ranges, Pages::of)
        : unpaged.onOneDevice(parameters, ranges);
  }

  /**
   * @param allocate makes pages for a device
   */
  Optimizer over(
      ParameterSet parameters,
      List<ParameterRange> ranges,
      BiFunction<Device, Long, Pages> allocate) {
    if (unpaged instanceof AdamW8bitConfig eight) {
      List<ParameterSlot> slots = ParameterSlot.of(parameters, ranges);
      long bytes = DeviceAdamW8bit.momentBytes(slots);
      MomentMemory memory = MomentMemory.paged(parameters, bytes, allocate);
      return new DeviceAdamW8bit(eight.adamW(), slots, parameters, memory);
    }
    long bytes = DeviceAdamW.momentBytes(parameters.numel());
    MomentMemory memory = MomentMemory.paged(parameters, bytes, allocate);
    return new DeviceAdamW((AdamWConfig) unpaged, ranges, parameters, memory);
  }
}
