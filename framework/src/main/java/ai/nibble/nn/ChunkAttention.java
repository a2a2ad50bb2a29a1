package ai.nibble.nn;

import ai.nibble.autograd.Function;
import ai.nibble.autograd.Gradients;
import ai.nibble.nn.HeadLayout.Part;
import ai.nibble.nn.Workspace.Purpose;
import ai.nibble.tensor.Ops;
import ai.nibble.tensor.Scope;
import ai.nibble.tensor.Tensor;

/**
 * Some new tokens of each sequence attend to what its cache holds and, causally, to each other;
 * their keys and values join the cache. {@link CachedAttention} is faster for one token each, and
 * {@link AttentionFunction} for sequences that begin. Inference only.
 */
final class ChunkAttention extends Function {
  /** Bytes of the scores that are computed at once, beyond those of a few tokens. */
  private static final long MAX_SCORE_BYTES = 16 << 20;

  private static final int MIN_BLOCK_TOKENS = 16;

  private final Attention attention;
  private final Pass pass;
  private final int layer;
  private final Precision precision;
  private final Workspace work;
  private final long maxScoreBytes;

  ChunkAttention(Attention attention, Pass pass, int layer, Precision precision, Workspace work) {
    this(attention, pass, layer, precision, work, MAX_SCORE_BYTES);
  }

  /**
   * @param maxScoreBytes new tokens whose scores are more are computed in blocks
   */
  ChunkAttention(
      Attention attention,
      Pass pass,
      int layer,
      Precision precision,
      Workspace work,
      long maxScoreBytes) {
    this.attention = attention;
    this.pass = pass;
    this.layer = layer;
    this.precision = precision;
    this.work = work;
    this.maxScoreBytes = maxScoreBytes;
  }

  @Override
  protected Tensor[] forward(Tensor[] inputs) {
    long width = (long) attention.heads() * attention.headDim();
    Tensor output = Tensor.empty(inputs[0].device(), precision.compute(), inputs[0].size(0), width);
    try {
      for (int s = 0; s < pass.sequences(); s++) {
        int begin = pass.sequenceStarts()[s];
        int tokens = pass.sequenceStarts()[s + 1] - begin;
        try (Tensor qkv = inputs[0].narrow(0, begin, tokens);
            Tensor out = output.narrow(0, begin, tokens)) {
          attend(pass.caches().get(s), qkv, out);
        }
      }
      return new Tensor[] {output};
    } catch (RuntimeException e) {
      output.close();
      throw e;
    }
  }

  /** One sequence: {@code qkv [n, …]} to {@code output [n, heads·D]}. */
  private void attend(KvCache cache, Tensor qkv, Tensor output) {
    int held = cache.length();
    int all = held + (int) qkv.size(0);
    attention.rotary().cover(cache.capacity());
    HeadLayout layout = HeadLayout.ofSequence(attention, held, all);
    try (Scope scope = new Scope()) {
      Attention.fill(cache, layer, layout, qkv);
      Tensor queries = scope.own(layout.allocate(Part.QUERY, precision, qkv.device()));
      layout.gather(Part.QUERY, qkv, queries);
      Tensor keys = scope.own(scope.own(cache.keys(layer, all)).transpose(1, 2));
      Tensor values = scope.own(cache.values(layer, all));
      Tensor result = scope.own(layout.allocate(Part.QUERY, precision, qkv.device()));
      for (AttentionSpan block : new AttentionSpan(held, all).blocks(blockTokens(all))) {
        attend(block, held, queries, keys, values, result);
      }
      layout.scatterOutput(result, output);
    }
  }

  private int blockTokens(int keys) {
    long bytesAToken = (long) attention.heads() * keys * precision.product().bytes();
    return (int) Math.min(keys, Math.max(MIN_BLOCK_TOKENS, maxScoreBytes / bytesAToken));
  }

  /**
   * Rows of a block of new tokens.
   *
   * @param block positions in the sequence
   * @param held position of the first new token
   * @param queries {@code [kvHeads, n·group, D]}, as the result
   * @param keys {@code [kvHeads, D, all]}
   * @param values {@code [kvHeads, all, D]}
   */
  private void attend(
      AttentionSpan block, int held, Tensor queries, Tensor keys, Tensor values, Tensor result) {
    int group = attention.group();
    long first = (long) (block.begin() - held) * group;
    long rows = (long) block.tokens() * group;
    int seen = block.end();
    try (Scope scope = new Scope()) {
      Tensor q = scope.own(queries.narrow(1, first, rows));
      Tensor scores =
          scope.own(
              work.get(Purpose.SCORES, q.dtype(), attention.keyValueHeads(), rows, (long) seen));
      Tensor visible = scope.own(keys.narrow(2, 0, seen));
      Ops.baddbmm(scores, scores, q, visible, 0, attention.productScale());
      attention.cap(scores);
      mask(scores, block);
      Ops.softmax(scores, scores);
      Tensor product = scope.own(result.narrow(1, first, rows));
      Ops.bmm(product, scores, scope.own(values.narrow(1, 0, seen)));
    }
  }

  private void mask(Tensor scores, AttentionSpan block) {
    CausalMask mask = CausalMask.of(Pass.evaluating(0, block.end()), attention);
    for (int h = 0; h < attention.keyValueHeads(); h++) {
      try (Tensor head = scores.narrow(0, h, 1);
          Tensor rows = head.view(scores.size(1), scores.size(2))) {
        mask.apply(rows, new AttentionSpan(0, block.end()), block);
      }
    }
  }

  @Override
  protected void backward(Tensor[] gradOutputs, Gradients gradients) {
    throw new IllegalStateException("attention to a cache has no gradient");
  }
}
