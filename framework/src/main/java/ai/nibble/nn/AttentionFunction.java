package ai.nibble.nn;

import ai.nibble.autograd.Earlier;
import ai.nibble.autograd.Function;
import ai.nibble.autograd.Gradients;
import ai.nibble.nn.HeadLayout.Part;
import ai.nibble.nn.vector.Softmax512;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Device;
import ai.nibble.tensor.Ops;
import ai.nibble.tensor.Parallel;
import ai.nibble.tensor.Scope;
import ai.nibble.tensor.Tensor;
import ai.nibble.tensor.Torch;
import java.nio.ByteBuffer;
import java.util.BitSet;
import java.util.List;

/**
 * Forward and backward of {@link Attention}. Each span of tokens and key/value head is a task of
 * its own, so that threads need not wait for each other inside and a task's scores stay in its
 * core's cache. Saves rotated queries, keys and values, and the probabilities where they are few;
 * otherwise backward makes them anew, to the same bits. Of a window, what lies before it is masked,
 * not left out.
 */
final class AttentionFunction extends Function {
  /**
   * Tokens a block: enough rows for the products, few enough that little lies above the diagonal.
   */
  private static final int BLOCK_TOKENS = 128;

  /** Fewest tokens a block, however many keys they meet. */
  private static final int MIN_BLOCK_TOKENS = 16;

  /** Blocks grow where there would be more than this, but not beyond {@link #MAX_SCORE_BYTES}. */
  private static final int FEW_BLOCKS = 8;

  /** Bytes of a block's scores, of which a thread has two at a time in backward. */
  private static final long MAX_SCORE_BYTES = 16 << 20;

  /**
   * Probabilities are saved that take up to so many times the memory of the queries: one product
   * and one softmax less in backward, for not more than the layer's MLP saves.
   */
  private static final int MAX_SAVED_QUERIES = 6;

  private final Attention attention;
  private final Precision precision;
  private final int[] positions;
  private final BitSet inLong;
  private final List<AttentionSpan> spans;
  private final CausalMask mask;
  private final long maxScoreBytes;
  private final Earlier earlier;

  /**
   * Whether loops are worth the second or two that HotSpot takes to compile them for registers: not
   * for a prompt. Whether a pass is of training makes no difference, so that a reference and what
   * is trained, before anything is learned, agree to the last bit.
   */
  private final boolean inRegisters;

  private Heads saved;
  private BlockScores probabilities;

  AttentionFunction(Attention attention, Pass pass, Precision precision, Earlier earlier) {
    this(attention, pass, precision, earlier, MAX_SCORE_BYTES);
  }

  /**
   * @param maxScoreBytes blocks of a span whose scores are more have fewer tokens
   */
  AttentionFunction(
      Attention attention, Pass pass, Precision precision, Earlier earlier, long maxScoreBytes) {
    this.attention = attention;
    this.precision = precision;
    this.positions = pass.positions();
    this.inLong = HeadLayout.inLong(attention.rotary(), pass, positions);
    this.spans = AttentionSpan.of(pass.treeStarts(), BLOCK_TOKENS);
    this.mask = CausalMask.of(pass, attention);
    this.maxScoreBytes = maxScoreBytes;
    this.earlier = earlier;
    this.inRegisters = pass.caches().isEmpty();
  }

  /**
   * Forward saves the heads of queries, keys and values, and the probabilities where they are few,
   * and holds the heads of the output and for each thread the scores of a block that are not saved;
   * backward holds the gradients of all four, and of scores.
   *
   * @param shape where scores have a cap, backward makes them anew beside their gradient
   * @param saves whether probabilities may be saved
   */
  static Footprint footprint(Extent e, Attention.Shape shape, boolean saves) {
    int heads = shape.heads();
    int kvHeads = shape.keyValueHeads();
    int headDim = shape.headDim();
    long n = e.tokens();
    int group = heads / kvHeads;
    long q = e.product(kvHeads, n * group, headDim);
    long kv = e.product(kvHeads, n, headDim);
    List<AttentionSpan> spans = AttentionSpan.of(e.sequenceStarts(), BLOCK_TOKENS);
    int atOnce = spans.size() * kvHeads < e.threads() ? 1 : e.threads();
    BlockScores all = new BlockScores(group);
    long scores = 0;
    long sums = 0;
    for (AttentionSpan span : spans) {
      List<AttentionSpan> blocks =
          blocks(span, group, e.precision().product().bytes(), MAX_SCORE_BYTES);
      all.add(span, blocks);
      for (AttentionSpan block : blocks) {
        int keys = block.end() - span.begin();
        scores = Math.max(scores, e.product((long) group * block.tokens(), keys));
      }
      if (BlockSum.isApart(e.precision().product(), blocks.size())) {
        long sum = e.bytes(DType.FLOAT32, span.tokens(), headDim);
        sums = Math.max(sums, 2 * (sum + e.product(span.tokens(), headDim)));
      }
    }
    boolean few = saves && areFew(all, kvHeads, n * heads * headDim);
    int matrices = (few ? 1 : 2) + (shape.capped() ? 1 : 0);
    long before = 2 * q + 2 * kv + atOnce * (matrices * scores + sums);
    long gradient = e.compute(n, (heads + 2L * kvHeads) * headDim);
    return Footprint.of(e.compute(n, (long) heads * headDim))
        .saving(q + 2 * kv + (few ? e.product(kvHeads, all.elements()) : 0))
        .inForward(q + (few ? 0 : atOnce * scores))
        .inBackward(before, 2 * q + 2 * kv, gradient);
  }

  /** Whether probabilities may be saved beside queries of so many elements. */
  private static boolean areFew(BlockScores scores, int kvHeads, long queries) {
    return kvHeads * scores.elements() <= MAX_SAVED_QUERIES * queries;
  }

  @Override
  protected Tensor[] forward(Tensor[] inputs) {
    Tensor qkv = inputs[0];
    coverPositions();
    HeadLayout layout = new HeadLayout(attention, positions, inLong, inRegisters);
    saved =
        new Heads(
            keep(layout.allocate(Part.QUERY, precision, qkv.device())),
            keep(layout.allocate(Part.KEY, precision, qkv.device())),
            keep(layout.allocate(Part.VALUE, precision, qkv.device())));
    layout.gather(Part.QUERY, qkv, saved.q);
    layout.gather(Part.KEY, qkv, saved.k);
    layout.gather(Part.VALUE, qkv, saved.v);
    long width = (long) attention.heads() * attention.headDim();
    Tensor known = earlier.output(qkv.device(), precision.compute(), qkv.size(0), width);
    if (known != null) {
      return new Tensor[] {known};
    }
    if (isRecording() && earlier == Earlier.NONE) {
      saveProbabilities();
    }
    Tensor output = Tensor.empty(qkv.device(), precision.compute(), qkv.size(0), width);
    try (Tensor o = layout.allocate(Part.QUERY, precision, qkv.device())) {
      forEachTask((span, head) -> forwardSpan(span, saved.of(head), o, head));
      layout.scatterOutput(o, output);
    } catch (RuntimeException e) {
      output.close();
      throw e;
    }
    return new Tensor[] {output};
  }

  /** Makes room for the probabilities, where they may be saved. */
  private void saveProbabilities() {
    BlockScores scores = new BlockScores(attention.group());
    spans.forEach(span -> scores.add(span, blocks(span)));
    int heads = attention.keyValueHeads();
    if (areFew(scores, heads, saved.q.numel())) {
      probabilities = keep(scores);
      probabilities.allocate(saved.q.device(), precision.product(), heads);
    }
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

  private List<AttentionSpan> blocks(AttentionSpan span) {
    return blocks(span, attention.group(), precision.product().bytes(), maxScoreBytes);
  }

  private static List<AttentionSpan> blocks(
      AttentionSpan span, int group, int bytesAScore, long maxScoreBytes) {
    int tokens = Math.max(BLOCK_TOKENS, (span.tokens() + FEW_BLOCKS - 1) / FEW_BLOCKS);
    long bytesAToken = (long) group * span.tokens() * bytesAScore;
    long most = Math.max(MIN_BLOCK_TOKENS, maxScoreBytes / bytesAToken);
    return span.blocks((int) Math.min(tokens, most));
  }

  private void forwardSpan(AttentionSpan span, Heads in, Tensor o, int head) {
    try (in;
        Tensor out = Heads.matrix(o, head)) {
      for (AttentionSpan block : blocks(span)) {
        try (Scope scope = new Scope()) {
          Tensor p = scope.own(room(span, block, head));
          fillProbabilities(p, span, block, in);
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

  /** A block's probabilities, {@code [tokens·group, keys]}, still to be filled unless saved. */
  private Tensor room(AttentionSpan span, AttentionSpan block, int head) {
    if (probabilities != null) {
      return probabilities.of(block, head);
    }
    long rows = (long) block.tokens() * attention.group();
    return Tensor.empty(
        saved.q.device(), precision.product(), rows, block.end() - (long) span.begin());
  }

  /** Softmax of the masked scores of a block's rows. */
  private void fillProbabilities(Tensor p, AttentionSpan span, AttentionSpan block, Heads in) {
    try (Scope scope = new Scope()) {
      products(p, span, block, in, scope);
      attention.cap(p);
      mask.apply(p, span, block);
      softmax(p);
    }
  }

  /** Softmax of rows, in place. */
  private void softmax(Tensor p) {
    int width = (int) p.size(1);
    if (!inRegisters || !PairRows.serve(width, p)) {
      Ops.softmax(p, p);
      return;
    }
    float[] powers = new float[width];
    ByteBuffer rows = PairRows.window(p, 0, p.size(0));
    for (int r = 0; r < p.size(0); r++) {
      Softmax512.softmax(rows, r * PairRows.bytes(p), width, powers);
    }
  }

  /** Products of a block's queries with the keys, {@code [tokens·group, keys]}. */
  private void products(Tensor to, AttentionSpan span, AttentionSpan block, Heads in, Scope scope) {
    Tensor keys = scope.own(in.k.narrow(0, span.begin(), to.size(1)));
    Tensor queries = scope.own(queryRows(in.q, block));
    Ops.addmm(to, queries, scope.own(keys.t()), 0, attention.productScale());
  }

  @Override
  protected void backward(Tensor[] gradOutputs, Gradients gradients) {
    HeadLayout layout = new HeadLayout(attention, positions, inLong, inRegisters);
    Device device = saved.q.device();
    try (Scope scope = new Scope()) {
      Tensor dO = scope.own(layout.allocate(Part.QUERY, precision, device));
      layout.gatherOutputGradient(gradOutputs[0], dO);
      Heads grads =
          new Heads(
              scope.own(layout.allocate(Part.QUERY, precision, device)),
              scope.own(layout.allocate(Part.KEY, precision, device)).zero(),
              scope.own(layout.allocate(Part.VALUE, precision, device)).zero());
      forEachTask((span, head) -> backwardSpan(span, head, dO, grads));
      long width = (attention.heads() + 2L * attention.keyValueHeads()) * attention.headDim();
      Tensor result = scope.empty(device, precision.compute(), positions.length, width);
      layout.scatterGradient(Part.QUERY, grads.q, result);
      layout.scatterGradient(Part.KEY, grads.k, result);
      layout.scatterGradient(Part.VALUE, grads.v, result);
      gradients.add(0, result.share());
    }
  }

  private void backwardSpan(AttentionSpan span, int head, Tensor dO, Heads grads) {
    List<AttentionSpan> blocks = blocks(span);
    try (Heads in = saved.of(head);
        Heads grad = grads.of(head);
        Tensor dOut = Heads.matrix(dO, head);
        Tensor keys = grad.k.narrow(0, span.begin(), span.tokens());
        Tensor values = grad.v.narrow(0, span.begin(), span.tokens());
        BlockSum dK = new BlockSum(keys, blocks.size());
        BlockSum dV = new BlockSum(values, blocks.size())) {
      SpanGradient sums = new SpanGradient(grad.q, dK, dV);
      for (AttentionSpan block : blocks) {
        try (Tensor p = room(span, block, head)) {
          if (probabilities == null) {
            fillProbabilities(p, span, block, in);
          }
          backwardBlock(span, block, in, p, dOut, sums);
        }
      }
      dK.finish();
      dV.finish();
    }
  }

  /** Gradients of a head's queries, and of a span's keys and values, which its blocks add to. */
  private record SpanGradient(Tensor q, BlockSum k, BlockSum v) {}

  /**
   * {@code dV += Pᵀ·dO}; {@code dS = P ⊙ (dO·Vᵀ − rowsum(P ⊙ dO·Vᵀ))}; {@code dQ = s·dS·K}; {@code
   * dK += s·dSᵀ·Q}. Where scores have a cap, dS is multiplied by the slope {@code 1 − tanh²}.
   */
  private void backwardBlock(
      AttentionSpan span, AttentionSpan block, Heads in, Tensor p, Tensor dOut, SpanGradient grad) {
    long first = span.begin();
    long keys = block.end() - first;
    try (Scope scope = new Scope()) {
      Tensor rows = scope.own(queryRows(dOut, block));
      Tensor dS = scope.own(Tensor.empty(p.device(), p.dtype(), p.shape()));
      Ops.mm(dS, rows, scope.own(scope.own(in.v.narrow(0, first, keys)).t()));
      grad.v.add(scope.own(p.t()), rows, 1);
      Ops.softmaxBackward(dS, dS, p);
      if (attention.isCapped()) {
        Tensor tanh = scope.own(Tensor.empty(p.device(), p.dtype(), p.shape()));
        products(tanh, span, block, in, scope);
        Ops.tanhBackward(dS, dS, Ops.tanh(tanh, tanh));
      }
      grad.k.add(scope.own(dS.t()), scope.own(queryRows(in.q, block)), attention.scale());
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
