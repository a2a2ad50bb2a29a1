package ai.nibble.optim;

import ai.nibble.nn.ParameterSet;
import java.util.List;

/**
 * The constants of {@link Adafactor}; the others are those of the paper (ε₁ 1e-30, clipping
 * threshold 1, decay exponent −0.8) with a given learning rate and no first moment.
 *
 * @param weightDecay decoupled weight decay where no {@link ParameterRange} says otherwise
 */
public record AdafactorConfig(double weightDecay) implements OptimizerConfig {
  public AdafactorConfig {
    OptimizerConfig.checkWeightDecay(weightDecay);
  }

  @Override
  public double bytesAValue() {
    return 0;
  }

  @Override
  public Optimizer onOneDevice(ParameterSet parameters, List<ParameterRange> ranges) {
    return new Adafactor(ParameterSlot.of(parameters, ranges));
  }
}
