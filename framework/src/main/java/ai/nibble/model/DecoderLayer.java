package ai.nibble.model;

import ai.nibble.autograd.Earlier;
import ai.nibble.autograd.Recall;
import ai.nibble.autograd.Tape;
import ai.nibble.autograd.Variable;
import ai.nibble.nn.Activation;
import ai.nibble.nn.Attention;
import ai.nibble.nn.HeadNorm;
import ai.nibble.nn.LinearGroup;
import ai.nibble.nn.Pass;
import ai.nibble.nn.Precision;
import ai.nibble.nn.Residual;
import ai.nibble.nn.RmsNorm;
import ai.nibble.nn.TokenPass;
import ai.nibble.nn.Workspace;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;

/**
 * One block of a decoder of any {@link Architecture}: attention and an MLP, each added to the
 * hidden state, with norms where the family has them.
 *
 * @param index of the layer, from 0
 * @param qkv q, k and v projections
 * @param headNorm normalises their queries and keys, where the architecture does
 */
record DecoderLayer(
    int index,
    Norms norms,
    LinearGroup qkv,
    Optional<HeadNorm> headNorm,
    Attention attention,
    LinearGroup output,
    Mlp mlp)
    implements AutoCloseable {

  /**
   * Norms of the hidden state.
   *
   * @param beforeAttention of what attention reads
   * @param afterAttention of what it gives
   * @param beforeMlp of what the MLP reads
   * @param afterMlp of what it gives
   */
  record Norms(
      Optional<RmsNorm> beforeAttention,
      Optional<RmsNorm> afterAttention,
      Optional<RmsNorm> beforeMlp,
      Optional<RmsNorm> afterMlp) {
    Stream<RmsNorm> all() {
      return Stream.of(beforeAttention, afterAttention, beforeMlp, afterMlp)
          .flatMap(Optional::stream);
    }

    /** Whether they are where Llama has them. */
    boolean areBefore() {
      return beforeAttention.isPresent()
          && beforeMlp.isPresent()
          && afterAttention.isEmpty()
          && afterMlp.isEmpty();
    }
  }

  /** In the order in which they are computed. */
  List<LinearGroup> groups() {
    return Stream.concat(Stream.of(qkv, output), mlp.groups().stream()).toList();
  }

  /** The parts, as a pass over one token takes them; empty where it has no such layers. */
  Optional<TokenPass.Block> block() {
    if (!norms.areBefore()
        || !(mlp instanceof GatedMlp gated)
        || gated.activation() != Activation.SILU) {
      return Optional.empty();
    }
    return Optional.of(
        new TokenPass.Block(
            norms.beforeAttention.orElseThrow(),
            qkv,
            headNorm,
            attention,
            output,
            norms.beforeMlp.orElseThrow(),
            gated.gateUp(),
            gated.down()));
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

    /** The product of q, k and v, which a second run gets from the first where that keeps it. */
    Variable qkv(LinearGroup group, Variable x) {
      return product(group, x, checkpointing.keepsQkv());
    }

    /** The product of gate and up, likewise. */
    Variable gateUp(LinearGroup group, Variable x) {
      return product(group, x, checkpointing.keepsGateUp());
    }

    private Variable product(LinearGroup group, Variable x, boolean kept) {
      return kept && group.keepsOutput(pass)
          ? recall.kept(earlier -> product(group, x, earlier))
          : plainProduct(group, x);
    }

    /** A product that is computed in both runs. */
    Variable plainProduct(LinearGroup group, Variable x) {
      return product(group, x, Earlier.NONE);
    }

    /** A product that nothing in a second run reads. */
    Variable unreadProduct(LinearGroup group, Variable x) {
      return recall.unread(earlier -> product(group, x, earlier));
    }

    private Variable product(LinearGroup group, Variable x, Earlier earlier) {
      return group.apply(tape, x, pass, precision, work, earlier);
    }
  }

  /** From a hidden state {@code [N, hidden]} to the next; values in between are given up early. */
  Variable forward(Run run, Variable x) {
    Recall recall = run.recall;
    Variable attended;
    try (Variable mixed = attend(run, x)) {
      attended = recall.kept(earlier -> run.tape.apply(new Residual(earlier), x, mixed));
    }
    try (attended;
        Variable lowered = gate(run, attended)) {
      return recall.unread(earlier -> run.tape.apply(new Residual(earlier), attended, lowered));
    }
  }

  /** What attention adds. */
  private Variable attend(Run run, Variable x) {
    try (Step normed = Step.of(norms.beforeAttention, run, x, qkv.room(run.precision));
        Variable projected = run.qkv(qkv, normed.value);
        Variable heads = normalizeAndAttend(run, projected)) {
      if (norms.afterAttention.isEmpty()) {
        return run.unreadProduct(output, heads);
      }
      try (Variable mixed = run.plainProduct(output, heads)) {
        return norms.afterAttention.get().apply(run.tape, mixed);
      }
    }
  }

  /** What the MLP adds. */
  private Variable gate(Run run, Variable attended) {
    try (Step normed = Step.of(norms.beforeMlp, run, attended, mlp.room(run.precision))) {
      if (norms.afterMlp.isEmpty()) {
        return mlp.apply(run, normed.value, false);
      }
      try (Variable lowered = mlp.apply(run, normed.value, true)) {
        return norms.afterMlp.get().apply(run.tape, lowered);
      }
    }
  }

  /**
   * What is read: normalised, or a hidden state as it is, which is not given up here.
   *
   * @param made whether it is to be closed
   */
  private record Step(Variable value, boolean made) implements AutoCloseable {
    static Step of(Optional<RmsNorm> norm, Run run, Variable x, int room) {
      return norm.isEmpty()
          ? new Step(x, false)
          : new Step(norm.get().apply(run.tape, x, room), true);
    }

    @Override
    public void close() {
      if (made) {
        value.close();
      }
    }
  }

  private Variable normalizeAndAttend(Run run, Variable projected) {
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
    norms.all().forEach(RmsNorm::close);
    headNorm.ifPresent(HeadNorm::close);
    attention.rotary().close();
    qkv.close();
    output.close();
    mlp.close();
  }
}
