package ai.nibble.model;

import ai.nibble.autograd.Earlier;
import ai.nibble.autograd.Recall;
import ai.nibble.autograd.Tape;
import ai.nibble.autograd.Variable;
import ai.nibble.nn.Attention;
import ai.nibble.nn.HeadNorm;
import ai.nibble.nn.LinearGroup;
import ai.nibble.nn.Pass;
import ai.nibble.nn.Precision;
import ai.nibble.nn.Residual;
import ai.nibble.nn.RmsNorm;
import ai.nibble.nn.SwiGlu;
import ai.nibble.nn.TokenPass;
import ai.nibble.nn.Workspace;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;

/**
 * One block of a decoder of any {@link Architecture}: attention and a gated MLP, each on the
 * normalised hidden state and added to it.
 *
 * @param index of the layer, from 0
 * @param qkv q, k and v projections
 * @param headNorm normalises their queries and keys, where the architecture does
 * @param gateUp gate and up projections
 */
record DecoderLayer(
    int index,
    RmsNorm inputNorm,
    LinearGroup qkv,
    Optional<HeadNorm> headNorm,
    Attention attention,
    LinearGroup output,
    RmsNorm postAttentionNorm,
    LinearGroup gateUp,
    LinearGroup down)
    implements AutoCloseable {

  List<LinearGroup> groups() {
    return List.of(qkv, output, gateUp, down);
  }

  /** The parts, as a pass over one token takes them. */
  TokenPass.Block block() {
    return new TokenPass.Block(
        inputNorm, qkv, headNorm, attention, output, postAttentionNorm, gateUp, down);
  }

  /**
   * What a run of a layer computes with.
   *
   * @param checkpointing what {@code recall} keeps of the layer, where it keeps anything
   */
  record Run(
      Tape tape,
      Pass pass,
      Precision precision,
      Workspace work,
      Checkpointing checkpointing,
      Recall recall) {

    /** A product that a second run gets from the first, where that keeps products. */
    private Variable product(LinearGroup group, Variable x) {
      return checkpointing == Checkpointing.SELECTIVE && group.keepsOutput(pass)
          ? recall.kept(earlier -> product(group, x, earlier))
          : product(group, x, Earlier.NONE);
    }

    /** A product that nothing in a second run reads. */
    private Variable unreadProduct(LinearGroup group, Variable x) {
      return recall.unread(earlier -> product(group, x, earlier));
    }

    private Variable product(LinearGroup group, Variable x, Earlier earlier) {
      return group.apply(tape, x, pass, precision, work, earlier);
    }
  }

  /** From a hidden state {@code [N, hidden]} to the next; values in between are given up early. */
  Variable forward(Run run, Variable x) {
    Tape tape = run.tape;
    Recall recall = run.recall;
    Variable attended;
    try (Variable normed = inputNorm.apply(tape, x, qkv.room(run.precision));
        Variable projected = run.product(qkv, normed);
        Variable heads = attend(run, projected);
        Variable mixed = run.unreadProduct(output, heads)) {
      attended = recall.kept(earlier -> tape.apply(new Residual(earlier), x, mixed));
    }
    try (attended;
        Variable normed = postAttentionNorm.apply(tape, attended, gateUp.room(run.precision));
        Variable gated = run.product(gateUp, normed);
        Variable active = tape.apply(new SwiGlu(down.room(run.precision)), gated);
        Variable lowered = run.unreadProduct(down, active)) {
      return recall.unread(earlier -> tape.apply(new Residual(earlier), attended, lowered));
    }
  }

  private Variable attend(Run run, Variable projected) {
    if (headNorm.isEmpty()) {
      return attendTo(run, projected);
    }
    try (Variable normed = headNorm.get().apply(run.tape, projected)) {
      return attendTo(run, normed);
    }
  }

  private Variable attendTo(Run run, Variable qkv) {
    Pass pass = run.pass;
    return pass.caches().isEmpty()
        ? run.recall.kept(e -> attention.apply(run.tape, qkv, pass, run.precision, e))
        : attention.applyCached(run.tape, qkv, pass, index, run.precision, run.work);
  }

  @Override
  public void close() {
    Stream.of(inputNorm, postAttentionNorm).forEach(RmsNorm::close);
    headNorm.ifPresent(HeadNorm::close);
    attention.rotary().close();
    groups().forEach(LinearGroup::close);
  }
}
