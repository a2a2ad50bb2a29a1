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
record GatedMlp(LinearGroup gateUp, Activation activation, LinearGroup down) {
  List<LinearGroup> groups() {
    return List.of(gateUp, down);
  }

  /** Columns that it likes to have behind those of its input. */
  int room(Precision precision) {
    return gateUp.room(precision);
  }

  /**
   * @param x {@code [N, hidden]}
   * @param read whether a second run of a checkpoint reads what comes out
   */
  Variable apply(DecoderLayer.Run run, Variable x, boolean read) {
    try (Variable gated = run.product(gateUp, x);
        Variable active = run.tape().apply(activation.gated(down.room(run.precision())), gated)) {
      return read ? run.plainProduct(down, active) : run.unreadProduct(down, active);
    }
  }
}
