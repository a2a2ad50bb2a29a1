package ai.nibble.autograd;

import ai.nibble.tensor.Ops;
import ai.nibble.tensor.Tensor;

/** Where a function's backward puts the gradients of its inputs. */
public final class Gradients {
  private final Tape tape;
  private final int[] inputs;

  Gradients(Tape tape, int[] inputs) {
    this.tape = tape;
    this.inputs = inputs;
  }

  /** Whether an input takes a gradient; if not, computing it is wasted. */
  public boolean wanted(int input) {
    return inputs[input] >= 0;
  }

  /** Adds a gradient that the function computed; the tape takes it over. */
  public void add(int input, Tensor gradient) {
    if (!wanted(input)) {
      gradient.close();
      return;
    }
    Slot slot = tape.slot(inputs[input]);
    if (slot.gradient == null) {
      slot.gradient = gradient;
      return;
    }
    try (gradient;
        Tensor before = slot.gradient) {
      slot.gradient = Ops.add(before, gradient, 1);
    }
  }

  /** Adds a gradient that is one of the gradients of the outputs itself. */
  public void pass(int input, Tensor gradOutput) {
    if (!wanted(input)) {
      return;
    }
    Slot slot = tape.slot(inputs[input]);
    if (slot.gradient == null) {
      slot.gradient = gradOutput.share();
      return;
    }
    try (Tensor before = slot.gradient) {
      slot.gradient = Ops.add(before, gradOutput, 1);
    }
  }

  /**
   * Takes out what has flowed into an input so far, so that the function can add to it as it
   * computes and give the sum back by {@link #add}.
   *
   * @return the caller's to close, or null when nothing has; its memory must not be written, for it
   *     may be the gradient of an output or of another input as well
   */
  public Tensor take(int input) {
    if (!wanted(input)) {
      return null;
    }
    Slot slot = tape.slot(inputs[input]);
    Tensor taken = slot.gradient;
    slot.gradient = null;
    return taken;
  }

  /** The gradient accumulated for one variable. */
  static final class Slot {
    private Tensor gradient;

    Tensor takeOut() {
      Tensor taken = gradient;
      gradient = null;
      return taken;
    }
  }
}
