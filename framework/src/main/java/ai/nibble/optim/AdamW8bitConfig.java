package ai.nibble.optim;

import ai.nibble.nn.ParameterSet;
import java.util.List;

/**
 * AdamW with its moments in 8 bits: {@link AdamW8bit}.
 *
 * @param adamW the constants of the update
 */
public record AdamW8bitConfig(AdamWConfig adamW) implements OptimizerConfig {
  @Override
  public double weightDecay() {
    return adamW.weightDecay();
  }

  @Override
  public double bytesAValue() {
    return 2 + 2.0 * Float.BYTES / AdamW8bit.BLOCK;
  }

  @Override
  public double savedBytesAValue() {
    return 2 * (Float.BYTES + (double) Float.BYTES / AdamW8bit.BLOCK);
  }

  @Override
  public Optimizer onOneDevice(ParameterSet parameters, List<ParameterRange> ranges) {
    return AdamW8bit.over(parameters, adamW, ranges);
  }
}
