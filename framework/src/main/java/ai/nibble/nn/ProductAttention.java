package ai.nibble.nn;

import ai.nibble.cuda.CachedAttentionKernels;
import ai.nibble.cuda.ElementwiseKernels;
import ai.nibble.cuda.ScoreKernels;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.FusedAttention;
import ai.nibble.tensor.Ops;
import ai.nibble.tensor.Scope;
import ai.nibble.tensor.Tensor;
import java.util.List;

/**
 * Attention by batched products with kernels between them, for scores with a cap, which no kernel
 * of libtorch computes. Scores lie in memory, of a {@link QueryBlock} at a time; backward makes
 * them anew. Any dtype and any heads; gradients of keys and values are sums over blocks, in float32
 * and in their order.
 */
final class ProductAttention implements FusedAttention {

  /**
   * What it holds.
   *
   * @param forward beside the output, the heads' copies and a block's scores
   * @param saved each row's statistics
   * @param backward beside the gradients, which are made last
   */
  record Held(long forward, long saved, long backward) {}

  /** What it holds of sequences of as many keys as queries. */
  static Held held(Extent e, Attention.Shape shape) {
    long n = e.tokens();
    int group = shape.heads() / shape.keyValueHeads();
    int[] starts = e.sequenceStarts();
    List<QueryBlock> blocks = QueryBlock.of(starts, starts, shape.window(), bytes(e, shape));
    long kv = shape.keyValueHeads();
    long scores = e.compute(kv, QueryBlock.largest(blocks, group));
    long wide = e.compute(n, shape.heads(), shape.headDim());
    long narrow = e.compute(n, kv, shape.headDim());
    boolean apart = e.precision().compute() != DType.FLOAT32;
    long sums = 2 * e.bytes(DType.FLOAT32, n, kv, shape.headDim());
    long product = apart ? e.compute(QueryBlock.mostKeys(blocks), kv, shape.headDim()) : 0;
    long results = wide + (apart ? 2 * narrow : 0);
    return new Held(
        2 * wide + scores,
        e.bytes(DType.FLOAT32, shape.heads(), n, 2),
        3 * wide + sums + Math.max(product + 2 * scores, results));
  }

  private static long bytes(Extent e, Attention.Shape shape) {
    return (long) shape.heads() * e.precision().compute().bytes();
  }

  /** The heads of a call and the blocks that it goes over. */
  private record Plan(
      int heads, int kvHeads, int d, List<QueryBlock> blocks, ScoreKernels.Sequences sequences) {
    static Plan of(Tensor q, Tensor k, Sequences queries, Sequences keys, Scores scores) {
      int heads = (int) q.size(1);
      int kvHeads = (int) k.size(1);
      long bytes = (long) heads * q.dtype().bytes();
      return new Plan(
          heads,
          kvHeads,
          (int) q.size(2),
          QueryBlock.of(queries, keys, scores.window(), bytes),
          new ScoreKernels.Sequences(
              queries.starts(),
              keys.starts(),
              heads / kvHeads,
              (int) q.size(0),
              new CachedAttentionKernels.Scores(scores.scale(), scores.window(), scores.cap())));
    }

    int group() {
      return heads / kvHeads;
    }

    /** {@code [kv, N·group, D]}, not filled. */
    Tensor headMajor(Tensor like) {
      return Tensor.empty(like.device(), like.dtype(), kvHeads, like.size(0) * group(), d);
    }

    /** Query heads {@code [N, heads, D]}, wherever they lie, copied to {@code [kv, N·group, D]}. */
    Tensor gathered(Tensor tokens) {
      Tensor to = headMajor(tokens);
      try (Tensor from = byHead(tokens);
          Tensor own = to.view(from.shape())) {
        own.copyFrom(from);
        return to;
      } catch (RuntimeException e) {
        to.close();
        throw e;
      }
    }

    /** Copies {@code [kv, N·group, D]} to the query heads {@code [N, heads, D]}. */
    void scatter(Tensor heads, Tensor tokens) {
      try (Tensor to = byHead(tokens);
          Tensor from = heads.view(to.shape())) {
        to.copyFrom(from);
      }
    }

    /** {@code [N, heads, D]} as {@code [kv, N, group, D]}, where it lies. */
    private Tensor byHead(Tensor tokens) {
      long[] sizes = {kvHeads, tokens.size(0), group(), d};
      long[] strides = {group() * tokens.stride(1), tokens.stride(0), tokens.stride(1), 1};
      return tokens.asStrided(sizes, strides, 0);
    }

    /** A block's rows of {@code [kv, N·group, D]}. */
    Tensor rows(Tensor heads, QueryBlock block) {
      return heads.narrow(1, (long) block.first() * group(), (long) block.tokens() * group());
    }

    /** A block's keys or values {@code [kv, keys, D]} of {@code [M, kv, D]}, where they lie. */
    Tensor keys(Tensor tokens, QueryBlock block) {
      long[] sizes = {kvHeads, block.keys(), d};
      long[] strides = {tokens.stride(1), tokens.stride(0), 1};
      return tokens.asStrided(sizes, strides, block.firstKey() * tokens.stride(0));
    }

    /** Room for the scores of any block. */
    Tensor room(Tensor like) {
      return Tensor.empty(
          like.device(), like.dtype(), kvHeads * QueryBlock.largest(blocks, group()));
    }

    /** A block's scores {@code [kv, tokens·group, keys]} in such room. */
    Tensor scores(Scope scope, Tensor room, QueryBlock block) {
      long rows = (long) block.tokens() * group();
      Tensor part = scope.own(room.narrow(0, 0, kvHeads * rows * block.keys()));
      return scope.own(part.view(kvHeads, rows, block.keys()));
    }
  }

  /** Aside are each row's statistics: see {@link ScoreKernels#forward}. */
  @Override
  public Result forward(
      Tensor q, Tensor k, Tensor v, Sequences queries, Sequences keys, Scores scores) {
    Plan plan = Plan.of(q, k, queries, keys, scores);
    long n = q.size(0);
    try (Scope made = new Scope()) {
      Tensor output = made.empty(q.device(), q.dtype(), n, plan.heads, plan.d);
      Tensor statistics = made.empty(q.device(), DType.FLOAT32, plan.kvHeads, n * plan.group(), 2);
      try (Tensor in = plan.gathered(q);
          Tensor out = plan.headMajor(q);
          Tensor room = plan.room(q)) {
        for (QueryBlock block : plan.blocks) {
          forward(plan, block, room, in, out, k, v, statistics);
        }
        plan.scatter(out, output);
      }
      made.release();
      return new Result(output, List.of(statistics));
    }
  }

  private static void forward(
      Plan plan,
      QueryBlock block,
      Tensor room,
      Tensor q,
      Tensor out,
      Tensor k,
      Tensor v,
      Tensor statistics) {
    try (Scope scope = new Scope()) {
      Tensor p = plan.scores(scope, room, block);
      products(scope, plan, block, p, q, k);
      ScoreKernels.forward(p, statistics, block.first(), block.firstKey(), plan.sequences);
      Ops.bmm(scope.own(plan.rows(out, block)), p, scope.own(plan.keys(v, block)));
    }
  }

  /** Products of a block's rows with the keys, or with the values. */
  private static void products(
      Scope scope, Plan plan, QueryBlock block, Tensor to, Tensor rows, Tensor keys) {
    Tensor other = scope.own(plan.keys(keys, block));
    Ops.bmm(to, scope.own(plan.rows(rows, block)), scope.own(other.transpose(1, 2)));
  }

  /**
   * {@code dV += Pᵀ·dO}; {@code dS} of {@code dO·Vᵀ} by {@link ScoreKernels#backward}; {@code dQ =
   * dS·K}; {@code dK += dSᵀ·Q}.
   */
  @Override
  public Gradients backward(
      Tensor gradOutput,
      Tensor q,
      Tensor k,
      Tensor v,
      Result forward,
      Sequences sequences,
      Scores scores) {
    Plan plan = Plan.of(q, k, sequences, sequences, scores);
    Tensor statistics = forward.aside().get(0);
    try (Scope work = new Scope();
        Scope made = new Scope()) {
      Tensor in = work.own(plan.gathered(q));
      Tensor dO = work.own(plan.gathered(gradOutput));
      Tensor dQ = work.own(plan.headMajor(q));
      try (KeySums dK = new KeySums(plan, k);
          KeySums dV = new KeySums(plan, v)) {
        try (Tensor product = KeySums.room(plan, k);
            Tensor room = plan.room(q);
            Tensor otherRoom = plan.room(q)) {
          for (QueryBlock block : plan.blocks) {
            try (Scope scope = new Scope()) {
              Tensor p = plan.scores(scope, room, block);
              Tensor dS = plan.scores(scope, otherRoom, block);
              products(scope, plan, block, p, in, k);
              products(scope, plan, block, dS, dO, v);
              ScoreKernels.backward(
                  p, dS, statistics, block.first(), block.firstKey(), plan.sequences);
              dV.add(scope, block, p, dO, product);
              Ops.bmm(scope.own(plan.rows(dQ, block)), dS, scope.own(plan.keys(k, block)));
              dK.add(scope, block, dS, in, product);
            }
          }
        }
        Tensor dq = made.empty(q.device(), q.dtype(), q.shape());
        plan.scatter(dQ, dq);
        Gradients gradients = new Gradients(dq, made.own(dK.rounded(k)), made.own(dV.rounded(v)));
        made.release();
        return gradients;
      }
    }
  }

  /** The gradient of keys or values, float32 {@code [M, kv, D]}. */
  private static final class KeySums implements AutoCloseable {
    private final Plan plan;
    private final Tensor sum;

    KeySums(Plan plan, Tensor like) {
      this.plan = plan;
      this.sum = Tensor.empty(like.device(), DType.FLOAT32, like.shape()).zero();
    }

    /** Room for the largest block's product; null where products are added as they are made. */
    static Tensor room(Plan plan, Tensor like) {
      return like.dtype() == DType.FLOAT32
          ? null
          : Tensor.empty(
              like.device(), like.dtype(), QueryBlock.mostKeys(plan.blocks), plan.kvHeads, plan.d);
    }

    /**
     * Adds {@code aᵀ·rows}.
     *
     * @param a {@code [kv, tokens·group, keys]}
     * @param heads {@code [kv, N·group, D]}, of which the block's rows count
     * @param room as {@link #room} gives it
     */
    void add(Scope scope, QueryBlock block, Tensor a, Tensor heads, Tensor room) {
      Tensor transposed = scope.own(a.transpose(1, 2));
      Tensor rows = scope.own(plan.rows(heads, block));
      if (room == null) {
        Tensor to = scope.own(plan.keys(sum, block));
        Ops.baddbmm(to, to, transposed, rows, 1, 1);
        return;
      }
      Tensor product = scope.own(room.narrow(0, 0, block.keys()));
      QueryBlock here = new QueryBlock(block.first(), block.tokens(), 0, block.keys());
      Ops.bmm(scope.own(plan.keys(product, here)), transposed, rows);
      long width = (long) plan.kvHeads * plan.d;
      Tensor own = scope.own(sum.narrow(0, block.firstKey(), block.keys()));
      ElementwiseKernels.addScaled(
          scope.own(own.view(block.keys(), width)),
          scope.own(product.view(block.keys(), width)),
          width,
          1);
    }

    /** The sum in the keys' dtype; the caller closes it. */
    Tensor rounded(Tensor like) {
      return like.dtype() == DType.FLOAT32 ? sum.share() : sum.to(like.dtype());
    }

    @Override
    public void close() {
      sum.close();
    }
  }
}
