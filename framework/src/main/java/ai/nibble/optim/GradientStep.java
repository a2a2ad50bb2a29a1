package ai.nibble.optim;

import ai.nibble.tensor.Tensor;
import java.util.Optional;

/**
 * One optimizer step at a time, where the parameters are: gradients of micro-batches summed as a
 * {@link GradientTree}, clipped by their global norm, applied.
 */
public interface GradientStep extends GradientStretch {
  /** Forgets what was added; the first micro-batch to come is the step's first. */
  default void begin() {
    begin(0);
  }

  /**
   * Applies the sum, unless its norm is not finite: the parameters are as they were then.
   *
   * @param learningRate this step's, the schedule's factor included
   * @param maxNorm gradients of a larger global norm are scaled down to it; 0: never
   * @return the global L2 norm before clipping
   */
  default double apply(double learningRate, double maxNorm) {
    double squares = sumOfSquares();
    if (Double.isFinite(squares)) {
      applyPart(learningRate, maxNorm, squares);
    }
    return Math.sqrt(squares);
  }

  /**
   * The squares of the sum's elements, added up in double precision; nothing may be added after. A
   * device is waited for.
   */
  double sumOfSquares();

  /**
   * Applies the sum, after {@link #sumOfSquares}, as a part of gradients that are clipped together.
   *
   * @param squares of all of these gradients, finite
   */
  void applyPart(double learningRate, double maxNorm, double squares);

  /** Steps that the host does not wait for; empty where they are not made on a device. */
  default Optional<Ahead> ahead() {
    return Optional.empty();
  }

  /** Steps that are queued before it is known what became of the ones before. */
  @FunctionalInterface
  interface Ahead {
    /**
     * Queues the update by the sum. It is counted as done.
     *
     * @param sound float64 {@code [1]} on the device: nothing is written, now or later, where it is
     *     not finite. It stops being so where the norm is not
     * @return the squared norm before clipping, float64 {@code [1]}, valid until the next step
     */
    Tensor apply(double learningRate, double maxNorm, Tensor sound);
  }
}
