package ai.nibble.autograd;

import ai.nibble.tensor.Tensor;

/**
 * Runs part of a computation without saving anything but its inputs, and runs it again in backward
 * (Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost"). The part must compute the
 * same values both times; its dropout is keyed, not drawn.
 */
public final class Checkpoint extends Function {
  /** The part: from inputs on a tape to one output on the same tape. */
  @FunctionalInterface
  public interface Part {
    /**
     * Runs the part.
     *
     * @param again whether it runs for its backward: the output's value is then not read, so that
     *     the part need not compute what only the output depends on
     */
    Variable run(Tape tape, Variable[] inputs, boolean again);
  }

  private final Part part;
  private Tensor[] inputs;

  public Checkpoint(Part part) {
    this.part = part;
  }

  @Override
  protected boolean hasParameters() {
    return true;
  }

  @Override
  protected Tensor[] forward(Tensor[] values) {
    inputs = new Tensor[values.length];
    for (int i = 0; i < values.length; i++) {
      inputs[i] = save(values[i]);
    }
    try (Tape tape = Tape.inference()) {
      Variable[] constants = new Variable[values.length];
      for (int i = 0; i < values.length; i++) {
        constants[i] = tape.constant(values[i].share());
      }
      return new Tensor[] {part.run(tape, constants, false).value().share()};
    }
  }

  @Override
  protected void backward(Tensor[] gradOutputs, Gradients gradients) {
    try (Tape tape = Tape.recording()) {
      Variable[] variables = new Variable[inputs.length];
      for (int i = 0; i < inputs.length; i++) {
        Tensor value = inputs[i].share();
        variables[i] = gradients.wanted(i) ? tape.leaf(value) : tape.constant(value);
      }
      Variable output = part.run(tape, variables, true);
      tape.backward(output, gradOutputs[0].share());
      for (int i = 0; i < inputs.length; i++) {
        Tensor gradient = tape.takeGradient(variables[i]);
        if (gradient != null) {
          gradients.add(i, gradient);
        }
      }
    }
  }
}
