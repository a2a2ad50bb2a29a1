package ai.nibble.optim;

import ai.nibble.nn.ParameterSet;
import java.nio.FloatBuffer;

/**
 * An optimizer that computes on the CPU. Parameters elsewhere are copied there and back at each
 * step.
 */
public interface HostOptimizer extends Optimizer {
  /**
   * One update in place.
   *
   * @param params float32 {@code [elements]}, changed
   * @param grads float32 {@code [elements]}, of the same layout, left as they are
   * @param lr this step's learning rate, the schedule's factor included; at least 0
   * @throws IllegalArgumentException if a buffer's length or the rate is out of range; nothing has
   *     changed then
   */
  void step(FloatBuffer params, FloatBuffer grads, double lr);

  @Override
  default GradientStep over(ParameterSet parameters) {
    return new HostGradientStep(parameters, this);
  }

  @Override
  default GradientStretch stretch(ParameterSet replica) {
    return new HostStretch(replica);
  }

  /** Refuses arguments of a step. */
  static void check(FloatBuffer params, FloatBuffer grads, double lr, int elements) {
    FlatFloats.requireLength("params", params, elements);
    FlatFloats.requireLength("grads", grads, elements);
    if (!(lr >= 0 && lr < Double.POSITIVE_INFINITY)) {
      throw new IllegalArgumentException(
          "learning rate is " + lr + ", expected at least 0 and finite");
    }
  }
}
