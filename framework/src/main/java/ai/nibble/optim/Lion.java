package ai.nibble.optim;

import java.util.List;

/**
 * Lion (Chen et al. 2023): steps of one size in the direction of a sign. {@code p ← p·(1 − lr·λ)},
 * {@code p ← p − lr·sign(β1·m + (1−β1)g)}, {@code m ← β2·m + (1−β2)g}. State: {@code exp_avg}.
 */
public final class Lion extends ElementwiseOptimizer {
  private final LionConfig config;

  /**
   * @param ranges cover the flat buffer from 0 without gap or overlap, in order
   */
  public Lion(LionConfig config, List<ParameterRange> ranges) {
    super(ranges, List.of(AdamW.EXP_AVG));
    this.config = config;
  }

  @Override
  Update update(ParameterRange range, double lr, long step) {
    float keep = (float) (1 - lr * range.weightDecay());
    float rate = (float) lr;
    float beta1 = (float) config.beta1();
    float weight1 = (float) (1 - config.beta1());
    float beta2 = (float) config.beta2();
    float weight2 = (float) (1 - config.beta2());
    return (p, g, memory, n) -> {
      float[] m = memory[0];
      for (int i = 0; i < n; i++) {
        float direction = beta1 * m[i] + weight1 * g[i];
        p[i] = p[i] * keep - rate * Math.signum(direction);
        m[i] = beta2 * m[i] + weight2 * g[i];
      }
    };
  }
}
