package ai.nibble.optim;

import ai.nibble.nn.ParameterSet;
import java.util.List;

/** An optimizer's constants, and how one is made of them. */
public sealed interface OptimizerConfig
    permits AdamWConfig, AdamW8bitConfig, SgdConfig, LionConfig, AdafactorConfig, MuonConfig {
  /** Weight decay where no {@link ParameterRange} says otherwise. */
  double weightDecay();

  /**
   * An optimizer for these parameters, where they are.
   *
   * @param ranges cover the flat buffer from 0 without gap or overlap, in order
   */
  default Optimizer over(ParameterSet parameters, List<ParameterRange> ranges) {
    return parameters.parts().size() == 1
        ? onOneDevice(parameters, ranges)
        : new SplitOptimizer(this, parameters, ranges);
  }

  /** An optimizer for parameters on one device: see {@link #over}. */
  Optimizer onOneDevice(ParameterSet parameters, List<ParameterRange> ranges);

  /** Bytes that are remembered for each value of a large matrix. */
  double bytesAValue();

  /** Bytes that a checkpoint has of it for each value: what is remembered, in float32. */
  default double savedBytesAValue() {
    return bytesAValue();
  }

  /** Refuses a constant. */
  static void check(String key, double value, boolean valid, String expected) {
    if (!valid) {
      throw new IllegalArgumentException(key + " is " + value + ", expected " + expected);
    }
  }

  /** Refuses a weight decay below 0. */
  static void checkWeightDecay(double value) {
    check("weight_decay", value, value >= 0 && value < Double.POSITIVE_INFINITY, "at least 0");
  }

  /** Refuses a decay of a moment that is not of [0, 1). */
  static void checkBeta(String key, double value) {
    check(key, value, value >= 0 && value < 1, "0 to below 1");
  }
}
