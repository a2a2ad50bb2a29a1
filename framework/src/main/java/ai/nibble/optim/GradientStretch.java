package ai.nibble.optim;

import ai.nibble.tensor.Tensor;
import java.util.function.BiConsumer;

/**
 * Sums the gradients of a stretch of a step's micro-batches, as much of their {@link GradientTree}
 * as it is: what each of several workers does with those that it computes.
 */
public interface GradientStretch {
  /**
   * Forgets what was added.
   *
   * @param first the number in the step of the first micro-batch to come, from 0
   */
  void begin(int first);

  /** Adds the gradients that the parameter set holds now: a micro-batch's. */
  void addMicroBatch();

  /**
   * Adds the stretch that follows this one, and leaves it empty. It may have no micro-batches.
   *
   * @param next made by the same optimizer, in memory that can be read here
   * @throws IllegalArgumentException if it is another optimizer's
   */
  void append(GradientStretch next);

  /**
   * Adds the stretch that follows this one, and leaves it empty, where it lies in memory that
   * cannot be read here.
   *
   * @param fetch copies the second, which is where the other stretch was summed, into the first,
   *     which is here; not called where sums are in the main memory
   */
  default void append(GradientStretch next, BiConsumer<Tensor, Tensor> fetch) {
    append(next);
  }
}
