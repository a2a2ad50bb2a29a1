package ai.nibble.optim;

import java.nio.FloatBuffer;

/**
 * Turns gradients into an update of the trainable values.
 *
 * <p>Implementations keep their own state, one value or more for each trainable value, and give the
 * same bits for the same state, gradients and rate, whatever the number of threads.
 */
public interface Optimizer {
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

  /** What a checkpoint holds of it: live views, not copies, valid as long as the optimizer. */
  OptimizerState state();

  /**
   * Copies a saved state in; the next step is then the one that would have followed it.
   *
   * @throws ai.nibble.InvalidInputException if the buffers' names or lengths are not this
   *     optimizer's; nothing has changed then
   */
  void restore(OptimizerState saved);
}
