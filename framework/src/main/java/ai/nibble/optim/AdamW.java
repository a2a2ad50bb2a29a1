package ai.nibble.optim;

import ai.nibble.nn.ParameterSet;
import ai.nibble.tensor.KernelLaunchers;
import java.util.List;

/**
 * Adam with decoupled weight decay over one flat float32 buffer.
 *
 * <p>Update {@code t} at rate {@code lr}: {@code p ← p·(1 − lr·λ)}, {@code m ← m + (1−β1)(g − m)},
 * {@code v ← β2·v + (1−β2)g²}, {@code p ← p − lr/(1−β1^t) · m / (√v/√(1−β2^t) + eps)}, in float32,
 * with the bits of {@code torch.optim.AdamW} on a CPU with AVX2 wherever its square root is
 * correctly rounded (MKL's may be one ulp off). State: two float32 values a parameter, {@code
 * exp_avg} and {@code exp_avg_sq}. Source: Loshchilov and Hutter 2019, algorithm 2.
 */
public final class AdamW extends ElementwiseOptimizer {
  static final String EXP_AVG = "exp_avg";
  static final String EXP_AVG_SQ = "exp_avg_sq";

  private final AdamWConfig config;

  /**
   * AdamW where the parameters are.
   *
   * @param ranges cover the flat buffer from 0 without gap or overlap, in order
   */
  public static Optimizer over(
      ParameterSet parameters, AdamWConfig config, List<ParameterRange> ranges) {
    return config.over(parameters, ranges);
  }

  static Optimizer onOneDevice(
      ParameterSet parameters, AdamWConfig config, List<ParameterRange> ranges) {
    return KernelLaunchers.serves(parameters.values().device())
        ? new DeviceAdamW(config, ranges, parameters)
        : new AdamW(config, ranges);
  }

  /** One range: the step's own rate, the configured decay. */
  public AdamW(AdamWConfig config, int elements) {
    this(config, List.of(new ParameterRange(0, elements, 1, config.weightDecay())));
  }

  /**
   * @param ranges cover the flat buffer from 0 without gap or overlap, in order
   */
  public AdamW(AdamWConfig config, List<ParameterRange> ranges) {
    super(ranges, List.of(EXP_AVG, EXP_AVG_SQ));
    this.config = config;
  }

  @Override
  Update update(ParameterRange range, double lr, long step) {
    AdamWUpdate update = AdamWUpdate.of(config, range.weightDecay(), lr, step);
    return (p, g, memory, n) -> update.fused(p, g, memory[0], memory[1], n);
  }
}
