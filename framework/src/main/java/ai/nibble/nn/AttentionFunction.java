package ai.nibble.nn;

import ai.nibble.autograd.Function;
import ai.nibble.autograd.Gradients;
import ai.nibble.nn.HeadLayout.Part;
import ai.nibble.tensor.Ops;
import ai.nibble.tensor.Parallel;
import ai.nibble.tensor.Scope;
import ai.nibble.tensor.Tensor;
import ai.nibble.tensor.Torch;
import java.util.List;

/**
 * Forward and backward of {@link Attention}. Each span of tokens and key/value head is a task of
 * its own, so that threads need not wait for each other inside and a task's scores stay in its
 * core's cache. Saves rotated queries, keys and values; backward makes the probabilities anew.
 */
final class AttentionFunction extends Function {
  /**
   * Tokens a block: enough rows for the products, few enough that little lies above the diagonal.
   */
  private static final int BLOCK_TOKENS = 128;

  /** At most this many blocks add into one gradient, each rounding to the product's dtype. */
  private static final int MAX_BLOCKS = 8;

  private final Attention attention;
  private final Precision precision;
  private final int[] positions;
  private final List<AttentionSpan> spans;
  private Heads saved;

  AttentionFunction(Attention attention, Pass pass, Precision precision) {
    this.attention = attention;
    this.precision = precision;
    this.positions = pass.positions();
    this.spans = AttentionSpan.of(pass.sequenceStarts(), BLOCK_TOKENS);
  }

  @Override
  protected Tensor[] forward(Tensor[] inputs) {
    Tensor qkv = inputs[0];
    coverPositions();
    HeadLayout layout = new HeadLayout(attention, positions);
    saved =
        new Heads(
            keep(layout.allocate(Part.QUERY, precision)),
            keep(layout.allocate(Part.KEY, precision)),
            keep(layout.allocate(Part.VALUE, precision)));
    layout.gather(Part.QUERY, qkv, saved.q);
    layout.gather(Part.KEY, qkv, saved.k);
    layout.gather(Part.VALUE, qkv, saved.v);
    long width = (long) attention.heads() * attention.headDim();
    Tensor output = Tensor.empty(precision.compute(), qkv.size(0), width);
    try (Tensor o = layout.allocate(Part.QUERY, precision)) {
      forEachTask((span, head) -> forwardSpan(span, saved.of(head), o, head));
      layout.scatterOutput(o, output);
    } catch (RuntimeException e) {
      output.close();
      throw e;
    }
    return new Tensor[] {output};
  }

  private void coverPositions() {
    int longest = 0;
    for (int position : positions) {
      longest = Math.max(longest, position + 1);
    }
    attention.rotary().cover(longest);
  }

  private interface Task {
    void run(AttentionSpan span, int head);
  }

  /** Tasks go to threads, unless they are too few: then each one's products use all threads. */
  private void forEachTask(Task task) {
    int heads = attention.keyValueHeads();
    int tasks = spans.size() * heads;
    int tasksARange = tasks < Torch.threads() ? tasks : 1;
    Parallel.forRanges(
        tasks,
        tasksARange,
        (begin, end) -> {
          for (int t = (int) begin; t < end; t++) {
            task.run(spans.get(t / heads), t % heads);
          }
        });
  }

  private void forwardSpan(AttentionSpan span, Heads in, Tensor o, int head) {
    try (in;
        Tensor out = Heads.matrix(o, head)) {
      for (AttentionSpan block : span.blocks(BLOCK_TOKENS, MAX_BLOCKS)) {
        try (Scope scope = new Scope()) {
          Tensor p = scope.own(probabilities(span, block, in));
          Tensor values = scope.own(in.v.narrow(0, span.begin(), block.end() - span.begin()));
          Ops.mm(scope.own(queryRows(out, block)), p, values);
        }
      }
    }
  }

  /** Rows of a {@code [N·group, D]} matrix that belong to a block's tokens. */
  private Tensor queryRows(Tensor matrix, AttentionSpan block) {
    long group = attention.group();
    return matrix.narrow(0, block.begin() * group, block.tokens() * group);
  }

  /** Softmax of the masked scores of a block's rows, {@code [tokens·group, keys]}. */
  private Tensor probabilities(AttentionSpan span, AttentionSpan block, Heads in) {
    long keys = block.end() - span.begin();
    try (Scope scope = new Scope()) {
      Tensor rows = scope.own(queryRows(in.q, block));
      Tensor transposed = scope.own(scope.own(in.k.narrow(0, span.begin(), keys)).t());
      Tensor scores = Tensor.empty(in.q.dtype(), rows.size(0), keys);
      try {
        Ops.addmm(scores, rows, transposed, 0, attention.scale());
        new CausalMask(positions, attention.group()).apply(scores, span, block);
        return Ops.softmax(scores, scores);
      } catch (RuntimeException e) {
        scores.close();
        throw e;
      }
    }
  }

  @Override
  protected void backward(Tensor[] gradOutputs, Gradients gradients) {
    HeadLayout layout = new HeadLayout(attention, positions);
    try (Scope scope = new Scope()) {
      Tensor dO = scope.own(layout.allocate(Part.QUERY, precision));
      layout.gatherOutputGradient(gradOutputs[0], dO);
      Heads grads =
          new Heads(
              scope.own(layout.allocate(Part.QUERY, precision)),
              scope.own(layout.allocate(Part.KEY, precision)).zero(),
              scope.own(layout.allocate(Part.VALUE, precision)).zero());
      forEachTask((span, head) -> backwardSpan(span, saved.of(head), dO, head, grads.of(head)));
      long width = (attention.heads() + 2L * attention.keyValueHeads()) * attention.headDim();
      Tensor result = Tensor.empty(precision.compute(), positions.length, width);
      layout.scatterGradient(Part.QUERY, grads.q, result);
      layout.scatterGradient(Part.KEY, grads.k, result);
      layout.scatterGradient(Part.VALUE, grads.v, result);
      gradients.add(0, result);
    }
  }

  private void backwardSpan(AttentionSpan span, Heads in, Tensor dO, int head, Heads grad) {
    try (in;
        grad;
        Tensor dOut = Heads.matrix(dO, head)) {
      for (AttentionSpan block : span.blocks(BLOCK_TOKENS, MAX_BLOCKS)) {
        backwardBlock(span, block, in, dOut, grad);
      }
    }
  }

  /**
   * {@code dV += Pᵀ·dO}; {@code dS = P ⊙ (dO·Vᵀ − rowsum(P ⊙ dO·Vᵀ))}; {@code dQ = s·dS·K}; {@code
   * dK += s·dSᵀ·Q}.
   */
  private void backwardBlock(
      AttentionSpan span, AttentionSpan block, Heads in, Tensor dOut, Heads grad) {
    long first = span.begin();
    long keys = block.end() - first;
    try (Scope scope = new Scope()) {
      Tensor p = scope.own(probabilities(span, block, in));
      Tensor rows = scope.own(queryRows(dOut, block));
      Tensor dS = scope.own(Tensor.empty(p.dtype(), p.shape()));
      Ops.mm(dS, rows, scope.own(scope.own(in.v.narrow(0, first, keys)).t()));
      Ops.addmm(scope.own(grad.v.narrow(0, first, keys)), scope.own(p.t()), rows, 1, 1);
      Ops.softmaxBackward(dS, dS, p);
      Tensor dK = scope.own(grad.k.narrow(0, first, keys));
      Ops.addmm(dK, scope.own(dS.t()), scope.own(queryRows(in.q, block)), 1, attention.scale());
      Tensor dQ = scope.own(queryRows(grad.q, block));
      Ops.addmm(dQ, dS, scope.own(in.k.narrow(0, first, keys)), 0, attention.scale());
    }
  }

  /**
   * Queries, keys and values: head-major, all heads {@code [kvHeads, rows, D]} or one {@code [rows,
   * D]}.
   */
  private record Heads(Tensor q, Tensor k, Tensor v) implements AutoCloseable {
    /** One head's matrices, the caller's to close. */
    Heads of(int head) {
      return new Heads(matrix(q, head), matrix(k, head), matrix(v, head));
    }

    static Tensor matrix(Tensor all, int head) {
      try (Tensor one = all.narrow(0, head, 1)) {
        return one.view(all.size(1), all.size(2));
      }
    }

    @Override
    public void close() {
      q.close();
      k.close();
      v.close();
    }
  }
}
