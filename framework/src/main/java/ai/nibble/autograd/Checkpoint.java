package ai.nibble.autograd;

import ai.nibble.tensor.Tensor;

/**
 * Runs part of a computation saving only its inputs and what the part itself keeps, and runs it
 * again in backward (Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost"). The part
 * must compute the same values both times; its dropout is keyed, not drawn.
 */
public final class Checkpoint extends Function {
  /** The part: from inputs on a tape to one output on the same tape. */
  @FunctionalInterface
  public interface Part {
    /**
     * Runs the part. The second time its output's value is not read.
     *
     * @param recall takes the steps whose outputs are kept, or not read the second time
     */
    Variable run(Tape tape, Variable[] inputs, Recall recall);
  }

  private final Part part;
  private final Recall recall = Recall.twice();
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
    keep(recall);
    inputs = new Tensor[values.length];
    for (int i = 0; i < values.length; i++) {
      inputs[i] = save(values[i]);
    }
    try (Tape tape = Tape.inference()) {
      Variable[] constants = new Variable[values.length];
      for (int i = 0; i < values.length; i++) {
        constants[i] = tape.constant(values[i].share());
      }
      return new Tensor[] {part.run(tape, constants, recall).value().share()};
    }
  }

  @Override
  protected void backward(Tensor[] gradOutputs, Gradients gradients) {
    recall.secondRun();
    try (Tape tape = Tape.recording()) {
      Variable[] variables = new Variable[inputs.length];
      for (int i = 0; i < inputs.length; i++) {
        Tensor value = inputs[i].share();
        variables[i] = gradients.wanted(i) ? tape.leaf(value) : tape.constant(value);
      }
      Variable output = part.run(tape, variables, recall);
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
