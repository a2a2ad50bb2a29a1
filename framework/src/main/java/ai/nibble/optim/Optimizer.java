package ai.nibble.optim;

import ai.nibble.nn.ParameterSet;

/**
 * Turns gradients into an update of the trainable values.
 *
 * <p>Implementations keep their own state, one value or more for each trainable value, and give the
 * same bits for the same state, gradients and rate, whatever the number of threads.
 */
public interface Optimizer {
  /**
   * Steps over these parameters.
   *
   * @param parameters those the optimizer was made for, where it computes
   */
  GradientStep over(ParameterSet parameters);

  /**
   * Sums of gradients by a copy of the parameters, which steps take in by {@link
   * GradientStep#append}.
   *
   * @param replica of the same layout, where a worker of its own computes
   */
  GradientStretch stretch(ParameterSet replica);

  /** What a checkpoint holds of it: views of what is on the CPU, copies of what is elsewhere. */
  OptimizerState state();

  /**
   * Copies a saved state in; the next step is then the one that would have followed it.
   *
   * @throws ai.nibble.InvalidInputException if the buffers' names or lengths are not this
   *     optimizer's; nothing has changed then
   */
  void restore(OptimizerState saved);
}
