package ai.nibble.optim;

/**
 * One optimizer step at a time, where the parameters are: gradients of micro-batches summed as a
 * {@link GradientTree}, clipped by their global norm, applied.
 */
public interface GradientStep {
  /** Forgets what was added. */
  void begin();

  /** Adds the gradients that the parameter set holds now: a micro-batch's. */
  void addMicroBatch();

  /**
   * Applies the sum, unless its norm is not finite: the parameters are as they were then.
   *
   * @param learningRate this step's, the schedule's factor included
   * @param maxNorm gradients of a larger global norm are scaled down to it; 0: never
   * @return the global L2 norm before clipping
   */
  double apply(double learningRate, double maxNorm);

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
}
