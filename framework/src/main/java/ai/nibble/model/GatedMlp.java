package ai.nibble.model;

import ai.nibble.autograd.Variable;
import ai.nibble.nn.Activation;
import ai.nibble.nn.LinearGroup;
import ai.nibble.nn.Precision;
import java.util.List;

/**
 * An MLP whose up projection is gated: {@code down(act(gate(x)) ⊙ up(x))}.
 *
 * @param gateUp gate and up projections
 */
record GatedMlp(LinearGroup gateUp, Activation activation, LinearGroup down) implements Mlp {
  @Override
  public List<LinearGroup> groups() {
    return List.of(gateUp, down);
  }

  @Override
  public int room(Precision precision) {
    return gateUp.room(precision);
  }

  @Override
  public Variable apply(DecoderLayer.Run run, Variable x, boolean read) {
    try (Variable gated = run.gateUp(gateUp, x);
        Variable active = run.tape().apply(activation.gated(down.room(run.precision())), gated)) {
      return read ? run.plainProduct(down, active) : run.unreadProduct(down, active);
    }
  }

  @Override
  public void close() {
    groups().forEach(LinearGroup::close);
  }
}
