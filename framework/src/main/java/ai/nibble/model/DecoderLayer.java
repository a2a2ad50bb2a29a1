package ai.nibble.model;

import ai.nibble.autograd.Tape;
import ai.nibble.autograd.Variable;
import ai.nibble.nn.Attention;
import ai.nibble.nn.LinearGroup;
import ai.nibble.nn.Pass;
import ai.nibble.nn.Precision;
import ai.nibble.nn.Residual;
import ai.nibble.nn.RmsNorm;
import ai.nibble.nn.SwiGlu;
import ai.nibble.nn.Workspace;
import java.util.List;
import java.util.stream.Stream;

/**
 * One block of a Llama-like decoder: attention and a gated MLP, each on the normalised hidden state
 * and added to it.
 *
 * @param index of the layer, from 0
 * @param qkv q, k and v projections
 * @param gateUp gate and up projections
 */
record DecoderLayer(
    int index,
    RmsNorm inputNorm,
    LinearGroup qkv,
    Attention attention,
    LinearGroup output,
    RmsNorm postAttentionNorm,
    LinearGroup gateUp,
    LinearGroup down)
    implements AutoCloseable {

  List<LinearGroup> groups() {
    return List.of(qkv, output, gateUp, down);
  }

  /**
   * From a hidden state {@code [N, hidden]} to the next; values in between are given up early.
   *
   * @param outputIsRead whether the result's value is needed; if not, the last product is left out
   */
  Variable forward(
      Tape tape, Variable x, Pass pass, Precision precision, Workspace work, boolean outputIsRead) {
    Variable attended;
    try (Variable normed = inputNorm.apply(tape, x);
        Variable projected = qkv.apply(tape, normed, pass, precision, work);
        Variable heads =
            pass.caches().isEmpty()
                ? attention.apply(tape, projected, pass, precision)
                : attention.applyCached(tape, projected, pass, index, precision, work);
        Variable mixed = output.apply(tape, heads, pass, precision, work)) {
      attended = tape.apply(new Residual(), x, mixed);
    }
    try (attended;
        Variable normed = postAttentionNorm.apply(tape, attended);
        Variable gated = gateUp.apply(tape, normed, pass, precision, work);
        Variable active = tape.apply(new SwiGlu(), gated);
        Variable lowered =
            outputIsRead
                ? down.apply(tape, active, pass, precision, work)
                : down.applyUnread(tape, active, pass, precision, work)) {
      return tape.apply(new Residual(), attended, lowered);
    }
  }

  @Override
  public void close() {
    Stream.of(inputNorm, postAttentionNorm).forEach(RmsNorm::close);
    groups().forEach(LinearGroup::close);
  }
}
