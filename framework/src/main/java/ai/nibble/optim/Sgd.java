package ai.nibble.optim;

import java.util.List;

/**
 * Stochastic gradient descent with momentum, as {@code torch.optim.SGD}: {@code g ← g + λp}, {@code
 * b ← μb + g}, {@code p ← p − lr·b}. State: {@code momentum_buffer} where there is momentum.
 */
public final class Sgd extends ElementwiseOptimizer {
  private final SgdConfig config;

  /**
   * @param ranges cover the flat buffer from 0 without gap or overlap, in order
   */
  public Sgd(SgdConfig config, List<ParameterRange> ranges) {
    super(ranges, config.momentum() > 0 ? List.of("momentum_buffer") : List.of());
    this.config = config;
  }

  @Override
  Update update(ParameterRange range, double lr, long step) {
    float decay = (float) range.weightDecay();
    float momentum = (float) config.momentum();
    float rate = (float) lr;
    if (config.momentum() == 0) {
      return (p, g, memory, n) -> {
        for (int i = 0; i < n; i++) {
          p[i] -= rate * (g[i] + decay * p[i]);
        }
      };
    }
    return (p, g, memory, n) -> {
      float[] buffer = memory[0];
      for (int i = 0; i < n; i++) {
        buffer[i] = momentum * buffer[i] + (g[i] + decay * p[i]);
        p[i] -= rate * buffer[i];
      }
    };
  }
}
