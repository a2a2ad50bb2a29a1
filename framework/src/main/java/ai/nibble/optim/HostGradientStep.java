package ai.nibble.optim;

import ai.nibble.nn.ParameterSet;
import java.nio.FloatBuffer;

/** Steps on the CPU, over views of what is there and copies of what is elsewhere. */
final class HostGradientStep implements GradientStep {
  private final HostOptimizer optimizer;
  private final ParameterSet parameters;
  private final boolean here;
  private final FloatBuffer grads;
  private final HostStretch stretch;

  HostGradientStep(ParameterSet parameters, HostOptimizer optimizer) {
    this.optimizer = optimizer;
    this.parameters = parameters;
    this.here = parameters.values().device().isCpu();
    this.grads =
        here
            ? parameters.grads().floats()
            : FlatFloats.allocate(Math.toIntExact(parameters.numel()));
    this.stretch = new HostStretch(parameters);
  }

  @Override
  public void begin(int first) {
    stretch.begin(first);
  }

  @Override
  public void addMicroBatch() {
    stretch.addMicroBatch();
  }

  @Override
  public void append(GradientStretch next) {
    stretch.append(next);
  }

  @Override
  public double sumOfSquares() {
    grads.put(0, stretch.sum(), 0, grads.limit());
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
