package ai.nibble.optim;

import ai.nibble.tensor.Parallel;
import java.nio.FloatBuffer;
import java.util.List;

/** An optimizer that updates each trained tensor by itself, several at a time. */
abstract class SlotOptimizer implements HostOptimizer {
  private final List<ParameterSlot> slots;
  private final int elements;
  private long step;

  SlotOptimizer(List<ParameterSlot> slots) {
    this.slots = List.copyOf(slots);
    this.elements = ParameterSlot.elements(slots);
  }

  /** Every trained tensor's place, in their order. */
  final List<ParameterSlot> slots() {
    return slots;
  }

  /** Elements of the flat buffer. */
  final int elements() {
    return elements;
  }

  /**
   * Updates one tensor. Several threads may be in here, each with another slot.
   *
   * @param index of the slot
   * @param params values of the tensor, changed
   * @param grads of the tensor
   * @param lr its rate at this step
   * @param step number of the step, from 1
   */
  abstract void update(int index, float[] params, float[] grads, double lr, long step);

  @Override
  public final void step(FloatBuffer params, FloatBuffer grads, double lr) {
    HostOptimizer.check(params, grads, lr, elements);
    step++;
    Parallel.forRanges(
        slots.size(),
        1,
        (begin, end) -> {
          for (int k = (int) begin; k < end; k++) {
            ParameterSlot slot = slots.get(k);
            float[] p = new float[slot.elements()];
            float[] g = new float[slot.elements()];
            params.get(slot.begin(), p);
            grads.get(slot.begin(), g);
            update(k, p, g, lr * slot.range().lrMultiplier(), step);
            params.put(slot.begin(), p);
          }
        });
  }

  /** Updates done so far. */
  final long steps() {
    return step;
  }

  @Override
  public final void restore(OptimizerState saved) {
    state().requireSame(saved);
    copyIn(saved);
    step = saved.step();
  }

  /** Copies a state in that has all that this one's has. */
  abstract void copyIn(OptimizerState saved);
}
