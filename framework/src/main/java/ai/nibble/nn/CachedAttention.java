package ai.nibble.nn;

import ai.nibble.autograd.Function;
import ai.nibble.autograd.Gradients;
import ai.nibble.nn.Workspace.Purpose;
import ai.nibble.tensor.Device;
import ai.nibble.tensor.Ops;
import ai.nibble.tensor.Parallel;
import ai.nibble.tensor.Rows;
import ai.nibble.tensor.Scope;
import ai.nibble.tensor.Tensor;

/**
 * One new token of each sequence attends to what its cache holds and to itself, and its key and
 * value join the cache. Inference only.
 *
 * <p>A token's queries {@code [heads·D]} are, as they lie, the matrix {@code [kvHeads, group, D]}
 * that batched products want, and so is its result: nothing is moved.
 */
final class CachedAttention extends Function {
  private static final int SEQUENCES_A_RANGE = 4;

  private final Attention attention;
  private final Pass pass;
  private final int layer;
  private final Precision precision;
  private final Workspace work;

  CachedAttention(Attention attention, Pass pass, int layer, Precision precision, Workspace work) {
    this.attention = attention;
    this.pass = pass;
    this.layer = layer;
    this.precision = precision;
    this.work = work;
  }

  @Override
  protected Tensor[] forward(Tensor[] inputs) {
    int sequences = pass.sequences();
    long width = (long) attention.heads() * attention.headDim();
    Device device = inputs[0].device();
    try (Scope scope = new Scope()) {
      Tensor queries = scope.empty(device, precision.product(), sequences, width);
      for (KvCache cache : pass.caches()) {
        attention.rotary().cover(cache.capacity());
      }
      Parallel.forRanges(
          sequences, SEQUENCES_A_RANGE, (begin, end) -> rotate(inputs[0], queries, begin, end));
      Tensor product = scope.empty(device, precision.product(), sequences, width);
      for (int s = 0; s < sequences; s++) {
        attend(pass.caches().get(s), row(scope, queries, s), row(scope, product, s));
      }
      return new Tensor[] {precision.widens() ? product.to(precision.compute()) : product.share()};
    }
  }

  /** A token's row of {@code [N, heads·D]} as {@code [kvHeads, group, D]}. */
  private Tensor row(Scope scope, Tensor rows, int index) {
    Tensor one = scope.own(rows.narrow(0, index, 1));
    return scope.own(one.view(attention.keyValueHeads(), attention.group(), attention.headDim()));
  }

  /** Rotates queries and keys of some sequences' tokens; keys and values go into the caches. */
  private void rotate(Tensor qkv, Tensor queries, long begin, long end) {
    int d = attention.headDim();
    int firstKey = attention.heads() * d;
    int firstValue = firstKey + attention.keyValueHeads() * d;
    try (Rows from = Rows.reading(qkv, begin, end);
        Rows to = Rows.writing(queries, begin, end)) {
      float[] row = new float[from.width()];
      for (long s = begin; s < end; s++) {
        KvCache cache = pass.caches().get((int) s);
        from.load(s, row);
        for (int at = 0; at < firstValue; at += d) {
          boolean isLong = attention.rotary().isLong(cache.length() + 1);
          attention.rotary().rotate(row, at, cache.length(), isLong, 1);
        }
        to.store(s, row);
        cache.putKey(layer, row, firstKey);
        cache.putValue(layer, row, firstValue);
      }
    }
  }

  private void attend(KvCache cache, Tensor query, Tensor output) {
    int tokens = cache.length() + 1;
    int first = attention.firstSeen(tokens);
    int seen = tokens - first;
    try (Scope scope = new Scope()) {
      // scores grow by a column a token: their buffer has room for all that the cache can hold
      work.reserve(Purpose.SCORES, query.dtype(), query.size(0) * query.size(1) * cache.capacity());
      Tensor scores =
          scope.own(work.get(Purpose.SCORES, query.dtype(), query.size(0), query.size(1), seen));
      Tensor keys = scope.own(scope.own(cache.keys(layer, first, seen)).transpose(1, 2));
      Ops.baddbmm(scores, scores, query, keys, 0, attention.productScale());
      attention.cap(scores);
      Ops.softmax(scores, scores);
      Ops.bmm(output, scores, scope.own(cache.values(layer, first, seen)));
    }
  }

  @Override
  protected void backward(Tensor[] gradOutputs, Gradients gradients) {
    throw new IllegalStateException("attention to a cache has no gradient");
  }
}
