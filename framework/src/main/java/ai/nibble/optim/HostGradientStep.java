package ai.nibble.optim;

import ai.nibble.nn.ParameterSet;
import java.nio.FloatBuffer;

/** Steps on the CPU, over views of what is there and copies of what is elsewhere. */
final class HostGradientStep implements GradientStep {
  private final HostOptimizer optimizer;
  private final ParameterSet parameters;
  private final boolean here;
  private final FloatBuffer grads;
  private final GradientTree<FloatBuffer> tree;

  HostGradientStep(ParameterSet parameters, HostOptimizer optimizer) {
    this.optimizer = optimizer;
    this.parameters = parameters;
    this.here = parameters.values().device().isCpu();
    this.grads =
        here
            ? parameters.grads().floats()
            : FlatFloats.allocate(Math.toIntExact(parameters.numel()));
    this.tree = GradientTree.ofFloats(grads.limit());
  }

  @Override
  public void begin() {
    tree.clear();
  }

  @Override
  public void addMicroBatch() {
    tree.add(here ? grads : FloatBuffer.wrap(parameters.grads().toFloats()));
  }

  @Override
  public double apply(double learningRate, double maxNorm) {
    double squares = sumOfSquares();
    if (Double.isFinite(squares)) {
      applyPart(learningRate, maxNorm, squares);
    }
    return Math.sqrt(squares);
  }

  @Override
  public double sumOfSquares() {
    grads.put(0, tree.sum(), 0, grads.limit());
    return FlatFloats.sumOfSquares(grads);
  }

  @Override
  public void applyPart(double learningRate, double maxNorm, double squares) {
    if (maxNorm > 0) {
      GradientNorm.scale(grads, Math.sqrt(squares), maxNorm);
    }
    FloatBuffer values = parameters.hostValues();
    optimizer.step(values, grads, learningRate);
    if (!here) {
      parameters.setValues(values);
    }
  }
}
