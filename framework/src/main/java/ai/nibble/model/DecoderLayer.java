package ai.nibble.model;

import ai.nibble.autograd.Earlier;
import ai.nibble.autograd.Recall;
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
   * @param checkpointing what {@code recall} keeps of the layer, where it keeps anything
   */
  Variable forward(
      Tape tape,
      Variable x,
      Pass pass,
      Precision precision,
      Workspace work,
      Checkpointing checkpointing,
      Recall recall) {
    boolean products = checkpointing == Checkpointing.SELECTIVE;
    Variable attended;
    try (Variable normed = inputNorm.apply(tape, x, qkv.room(precision));
        Variable projected =
            keptIf(products, recall, e -> qkv.apply(tape, normed, pass, precision, work, e));
        Variable heads =
            pass.caches().isEmpty()
                ? recall.kept(e -> attention.apply(tape, projected, pass, precision, e))
                : attention.applyCached(tape, projected, pass, index, precision, work);
        Variable mixed = recall.unread(e -> output.apply(tape, heads, pass, precision, work, e))) {
      attended = recall.kept(e -> tape.apply(new Residual(e), x, mixed));
    }
    try (attended;
        Variable normed = postAttentionNorm.apply(tape, attended, gateUp.room(precision));
        Variable gated =
            keptIf(products, recall, e -> gateUp.apply(tape, normed, pass, precision, work, e));
        Variable active = tape.apply(new SwiGlu(down.room(precision)), gated);
        Variable lowered = recall.unread(e -> down.apply(tape, active, pass, precision, work, e))) {
      return recall.unread(e -> tape.apply(new Residual(e), attended, lowered));
    }
  }

  private static Variable keptIf(boolean condition, Recall recall, Recall.Step step) {
    return condition ? recall.kept(step) : step.take(Earlier.NONE);
  }

  @Override
  public void close() {
    Stream.of(inputNorm, postAttentionNorm).forEach(RmsNorm::close);
    attention.rotary().close();
    groups().forEach(LinearGroup::close);
  }
}
