package ai.nibble.optim;

import ai.nibble.nn.ParameterSet;
import java.util.List;

/**
 * The constants of {@link Sgd}, named as in PyTorch.
 *
 * @param momentum share of the last steps' direction that is kept, 0 to below 1
 * @param weightDecay added to the gradient, times the value, where no {@link ParameterRange} says
 *     otherwise
 */
public record SgdConfig(double momentum, double weightDecay) implements OptimizerConfig {
  public SgdConfig {
    OptimizerConfig.checkBeta("momentum", momentum);
    OptimizerConfig.checkWeightDecay(weightDecay);
  }

  @Override
  public double bytesAValue() {
    return momentum > 0 ? Float.BYTES : 0;
  }

  @Override
  public Optimizer onOneDevice(ParameterSet parameters, List<ParameterRange> ranges) {
    return new Sgd(this, ranges);
  }
}
