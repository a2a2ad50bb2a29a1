package ai.nibble.model;

import ai.nibble.model.MemoryLedger.Value;
import ai.nibble.nn.Footprint;
import java.util.ArrayList;
import java.util.List;

/**
 * The memory of a {@link ai.nibble.autograd.Tape} without the tape: who holds which value from when
 * to when, for functions of which only the {@link Footprint} is known.
 */
final class MemoryTape {
  private final MemoryLedger ledger;
  private final boolean recording;
  private final List<Node> nodes = new ArrayList<>();
  private final List<Variable> variables = new ArrayList<>();

  MemoryTape(MemoryLedger ledger, boolean recording) {
    this.ledger = ledger;
    this.recording = recording;
  }

  /** A value on the tape. */
  static final class Variable {
    private final Value value;
    private final boolean requiresGrad;
    private Value gradient;
    private boolean open = true;

    private Variable(Value value, boolean requiresGrad) {
      this.value = value;
      this.requiresGrad = requiresGrad;
    }

    boolean requiresGrad() {
      return requiresGrad;
    }

    Value value() {
      return value;
    }

    void close() {
      if (open) {
        open = false;
        value.close();
      }
    }
  }

  /** A function that was applied, with all that it saved. */
  private record Node(Backward backward, Variable[] inputs, Variable output, List<Value> saved) {}

  /** What a function's backward does with the gradient of its output, which stays the tape's. */
  interface Backward {
    void run(Value gradOutput);
  }

  boolean isRecording() {
    return recording;
  }

  /** Takes a value over. */
  Variable put(Value value, boolean requiresGrad) {
    Variable variable = new Variable(value, requiresGrad && recording);
    variables.add(variable);
    return variable;
  }

  /**
   * Applies a function.
   *
   * @param parameters whether it has trained ones
   * @param known its output where it need not be computed, else null
   * @param part what its output is for
   */
  Variable apply(
      Footprint f, boolean parameters, Value known, MemoryPart part, Variable... inputs) {
    boolean records = recording && (parameters || anyRequiresGrad(inputs));
    List<Value> saved = new ArrayList<>(List.of(ledger.take(part, f.saved())));
    Variable output = put(known != null ? known : ledger.take(part, f.output()), records);
    if (known == null) {
      ledger.touch(MemoryPart.WORKING, f.forward());
    }
    if (!records) {
      saved.get(0).close();
      return output;
    }
    if (f.savesInput()) {
      saved.add(inputs[0].value.share());
    }
    if (f.savesOutput()) {
      saved.add(output.value.share());
    }
    Backward backward = gradOutput -> backward(f, gradOutput, inputs);
    nodes.add(new Node(backward, inputs, output, saved));
    return output;
  }

  /** Puts a function on the tape that does its own backward. */
  Variable record(Backward backward, Value value, List<Value> saved, Variable... inputs) {
    Variable output = put(value, true);
    nodes.add(new Node(backward, inputs, output, saved));
    return output;
  }

  private static boolean anyRequiresGrad(Variable[] inputs) {
    for (Variable input : inputs) {
      if (input.requiresGrad) {
        return true;
      }
    }
    return false;
  }

  private void backward(Footprint f, Value gradOutput, Variable[] inputs) {
    ledger.touch(MemoryPart.WORKING, f.backward());
    for (Variable input : inputs) {
      if (!input.requiresGrad) {
        continue;
      }
      if (f.gradient() == 0) {
        add(input, gradOutput.share());
      } else {
        Value gradient = ledger.take(MemoryPart.WORKING, f.gradient());
        ledger.touch(MemoryPart.WORKING, f.beside());
        add(input, gradient);
      }
    }
  }

  /** The sum takes the place of what flowed in before: functions add to that as they compute. */
  static void add(Variable input, Value gradient) {
    if (input.gradient != null) {
      input.gradient.close();
    }
    input.gradient = gradient;
  }

  /** Runs every backward in reverse order. */
  void backward(Variable output, Value gradOutput) {
    add(output, gradOutput);
    for (int i = nodes.size() - 1; i >= 0; i--) {
      Node node = nodes.remove(i);
      Value gradient = takeGradient(node.output);
      if (gradient != null) {
        node.backward.run(gradient);
        gradient.close();
      }
      node.saved.forEach(Value::close);
    }
  }

  /** Takes out what has flowed into a variable; null where nothing has. */
  static Value takeGradient(Variable variable) {
    Value gradient = variable.gradient;
    variable.gradient = null;
    return gradient;
  }

  void close() {
    nodes.forEach(node -> node.saved.forEach(Value::close));
    nodes.clear();
    variables.forEach(Variable::close);
    variables.forEach(
        variable -> {
          Value gradient = takeGradient(variable);
          if (gradient != null) {
            gradient.close();
          }
        });
  }
}
