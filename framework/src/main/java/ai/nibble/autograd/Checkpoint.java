package ai.nibble.autograd;

import ai.nibble.tensor.Tensor;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

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
  private final Optional<Offload> offload;
  private final Recall recall = Recall.twice();
  private Tensor[] inputs;

  /** What is on the host meanwhile: the inputs, then what steps keep; null where nothing is. */
  private Offload.Parcel parcel;

  public Checkpoint(Part part) {
    this(part, Optional.empty());
  }

  /**
   * @param offload where inputs and outputs of steps are until backward reads them; empty: where
   *     they were made
   */
  public Checkpoint(Part part, Optional<Offload> offload) {
    this.part = part;
    this.offload = offload;
  }

  @Override
  protected boolean hasParameters() {
    return true;
  }

  @Override
  protected Tensor[] forward(Tensor[] values) {
    keep(recall);
    inputs = new Tensor[values.length];
    Tensor output;
    try (Tape tape = Tape.inference()) {
      Variable[] constants = new Variable[values.length];
      for (int i = 0; i < values.length; i++) {
        constants[i] = tape.constant(values[i].share());
      }
      output = part.run(tape, constants, recall).value().share();
    }
    if (offload.isPresent() && isRecording()) {
      try {
        parcel = keep(putAway(values));
      } catch (RuntimeException e) {
        output.close();
        throw e;
      }
    } else {
      for (int i = 0; i < values.length; i++) {
        inputs[i] = save(values[i]);
      }
    }
    return new Tensor[] {output};
  }

  private Offload.Parcel putAway(Tensor[] values) {
    List<Tensor> away = new ArrayList<>();
    for (Tensor value : values) {
      away.add(value.share());
    }
    away.addAll(recall.takeOutputs());
    return offload.orElseThrow().put(away);
  }

  /** Gets back what is on the host. */
  private void fetch() {
    if (parcel != null) {
      List<Tensor> back = parcel.take();
      for (int i = 0; i < inputs.length; i++) {
        inputs[i] = keep(back.get(i));
      }
      recall.giveOutputs(back.subList(inputs.length, back.size()));
    }
  }

  @Override
  protected void backward(Tensor[] gradOutputs, Gradients gradients) {
    fetch();
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
