package ai.nibble.autograd;

import ai.nibble.tensor.Tensor;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * Records functions as they are applied and runs their backwards in reverse. A tape serves one
 * forward pass, one backward pass and one thread.
 */
public final class Tape implements AutoCloseable {
  private final boolean recording;
  private final List<Node> nodes = new ArrayList<>();
  private final List<Variable> variables = new ArrayList<>();
  private final Map<Integer, Gradients.Slot> slots = new HashMap<>();

  private Tape(boolean recording) {
    this.recording = recording;
  }

  /** A tape that can be differentiated. */
  public static Tape recording() {
    return new Tape(true);
  }

  /** A tape on which functions save nothing. */
  public static Tape inference() {
    return new Tape(false);
  }

  public boolean isRecording() {
    return recording;
  }

  /** Puts a value on the tape that takes no gradient. The tape takes it over. */
  public Variable constant(Tensor value) {
    return newVariable(value, false);
  }

  /** Puts a value on the tape whose gradient is wanted. The tape takes it over. */
  public Variable leaf(Tensor value) {
    return newVariable(value, recording);
  }

  /** Applies a function with one output. */
  public Variable apply(Function function, Variable... inputs) {
    List<Variable> outputs = applyAll(function, inputs);
    if (outputs.size() != 1) {
      throw new IllegalStateException(function + " has " + outputs.size() + " outputs, expected 1");
    }
    return outputs.get(0);
  }

  /** Applies a function with any number of outputs. */
  public List<Variable> applyAll(Function function, Variable... inputs) {
    boolean requiresGrad = recording && function.hasParameters();
    Tensor[] values = new Tensor[inputs.length];
    int[] ids = new int[inputs.length];
    for (int i = 0; i < inputs.length; i++) {
      values[i] = inputs[i].value();
      ids[i] = inputs[i].requiresGrad() ? inputs[i].id() : -1;
      requiresGrad |= recording && inputs[i].requiresGrad();
    }
    function.begin(requiresGrad);
    List<Variable> outputs = new ArrayList<>();
    try {
      for (Tensor output : function.forward(values)) {
        outputs.add(newVariable(output, requiresGrad));
      }
    } catch (RuntimeException | Error e) {
      function.release();
      throw e;
    }
    if (requiresGrad) {
      int[] outputIds = outputs.stream().mapToInt(Variable::id).toArray();
      nodes.add(new Node(function, ids, outputIds));
    } else {
      function.release();
    }
    return outputs;
  }

  /**
   * Differentiates: runs every backward in reverse order, freeing what each had saved.
   *
   * @param output a variable of this tape
   * @param gradOutput gradient of the loss by the output, of its shape; the tape takes it over
   */
  public void backward(Variable output, Tensor gradOutput) {
    if (!output.requiresGrad()) {
      gradOutput.close();
      throw new IllegalStateException("nothing that leads to this output takes a gradient");
    }
    new Gradients(this, new int[] {output.id()}).add(0, gradOutput);
    for (int i = nodes.size() - 1; i >= 0; i--) {
      Node node = nodes.remove(i);
      try {
        runBackward(node);
      } finally {
        node.function.release();
      }
    }
  }

  private void runBackward(Node node) {
    Tensor[] gradOutputs = new Tensor[node.outputs.length];
    boolean any = false;
    try {
      for (int o = 0; o < gradOutputs.length; o++) {
        Gradients.Slot slot = slots.remove(node.outputs[o]);
        gradOutputs[o] = slot == null ? null : slot.takeOut();
        any |= gradOutputs[o] != null;
      }
      if (any) {
        node.function.backward(gradOutputs, new Gradients(this, node.inputs));
      }
    } finally {
      for (Tensor gradient : gradOutputs) {
        if (gradient != null) {
          gradient.close();
        }
      }
    }
  }

  /** Takes out the gradient of a leaf after {@link #backward}; null if none reached it. */
  public Tensor takeGradient(Variable leaf) {
    Gradients.Slot slot = slots.remove(leaf.id());
    return slot == null ? null : slot.takeOut();
  }

  Gradients.Slot slot(int id) {
    return slots.computeIfAbsent(id, key -> new Gradients.Slot());
  }

  private Variable newVariable(Tensor value, boolean requiresGrad) {
    Variable variable = new Variable(variables.size(), value, requiresGrad);
    variables.add(variable);
    return variable;
  }

  /** Frees everything that is still open. */
  @Override
  public void close() {
    nodes.forEach(node -> node.function.release());
    nodes.clear();
    variables.forEach(Variable::close);
    for (Gradients.Slot slot : slots.values()) {
      Tensor gradient = slot.takeOut();
      if (gradient != null) {
        gradient.close();
      }
    }
    slots.clear();
  }

  private record Node(Function function, int[] inputs, int[] outputs) {}
}
