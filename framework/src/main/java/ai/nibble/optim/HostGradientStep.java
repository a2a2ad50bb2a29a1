package ai.nibble.optim;

import ai.nibble.nn.ParameterSet;
import java.nio.FloatBuffer;

/** Steps on the CPU. */
final class HostGradientStep implements GradientStep {
  private final HostOptimizer optimizer;
  private final FloatBuffer values;
  private final FloatBuffer grads;
  private final GradientTree<FloatBuffer> tree;

  HostGradientStep(ParameterSet parameters, HostOptimizer optimizer) {
    this.optimizer = optimizer;
    this.values = parameters.values().floats();
    this.grads = parameters.grads().floats();
    this.tree = GradientTree.ofFloats(grads.limit());
  }

  @Override
  public void begin() {
    tree.clear();
  }

  @Override
  public void addMicroBatch() {
    tree.add(grads);
  }

  @Override
  public double apply(double learningRate, double maxNorm) {
    grads.put(0, tree.sum(), 0, grads.limit());
    double norm = GradientNorm.of(grads);
    if (!Double.isFinite(norm)) {
      return norm;
    }
    if (maxNorm > 0) {
      GradientNorm.clip(grads, maxNorm);
    }
    optimizer.step(values, grads, learningRate);
    return norm;
  }
}
