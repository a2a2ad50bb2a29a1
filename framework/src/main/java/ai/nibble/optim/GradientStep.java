package ai.nibble.optim;

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
  double apply(double learningRate, double maxNorm);
}
