package ai.nibble.optim;

import ai.nibble.nn.ParameterSet;
import java.util.List;

/**
 * AdamW's constants, named as in PyTorch.
 *
 * @param beta1 decay of the first moment, 0 to below 1
 * @param beta2 decay of the second moment, 0 to below 1
 * @param eps added to the denominator, outside the square root; above 0
 * @param weightDecay decoupled weight decay where no {@link ParameterRange} says otherwise
 */
public record AdamWConfig(double beta1, double beta2, double eps, double weightDecay)
    implements OptimizerConfig {
  /** PyTorch's constants, without decay: 0.9, 0.999, 1e-8, 0. */
  public static final AdamWConfig DEFAULT = new AdamWConfig(0.9, 0.999, 1e-8, 0);

  public AdamWConfig {
    OptimizerConfig.checkBeta("adam_beta1", beta1);
    OptimizerConfig.checkBeta("adam_beta2", beta2);
    OptimizerConfig.check(
        "adam_epsilon", eps, eps > 0 && eps < Double.POSITIVE_INFINITY, "above 0");
    OptimizerConfig.checkWeightDecay(weightDecay);
  }

  @Override
  public double bytesAValue() {
    return 2 * Float.BYTES;
  }

  @Override
  public Optimizer onOneDevice(ParameterSet parameters, List<ParameterRange> ranges) {
    return AdamW.onOneDevice(parameters, this, ranges);
  }
}
