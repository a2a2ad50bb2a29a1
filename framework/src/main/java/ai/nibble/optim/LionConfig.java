package ai.nibble.optim;

import ai.nibble.nn.ParameterSet;
import java.util.List;

/**
 * The constants of {@link Lion}.
 *
 * @param beta1 share of the momentum in the direction of a step, 0 to below 1
 * @param beta2 decay of the momentum, 0 to below 1
 * @param weightDecay decoupled weight decay where no {@link ParameterRange} says otherwise
 */
public record LionConfig(double beta1, double beta2, double weightDecay)
    implements OptimizerConfig {
  public LionConfig {
    OptimizerConfig.checkBeta("adam_beta1", beta1);
    OptimizerConfig.checkBeta("adam_beta2", beta2);
    OptimizerConfig.checkWeightDecay(weightDecay);
  }

  @Override
  public double bytesAValue() {
    return Float.BYTES;
  }

  @Override
  public Optimizer onOneDevice(ParameterSet parameters, List<ParameterRange> ranges) {
    return new Lion(this, ranges);
  }
}
