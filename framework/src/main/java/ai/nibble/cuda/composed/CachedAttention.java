package ai.nibble.cuda.composed;

import ai.nibble.tensor.Aten;
import ai.nibble.tensor.ComposedKernel;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.KernelArguments;
import ai.nibble.tensor.Ops;
import ai.nibble.tensor.Tensor;
import java.util.Map;

/** The kernels of {@code cached_attention.cu}. */
public final class CachedAttention {
  /** By name. What the second one joins, the first one has not divided. */
  public static final Map<String, ComposedKernel> KERNELS =
      Map.of(
          "cached_attention", CachedAttention::attend,
          "cached_attention_join", arguments -> {},
          "cached_attention_append", CachedAttention::append);

  private CachedAttention() {}

  private static void attend(KernelArguments arguments) {
    Tensor out = arguments.tensor();
    Tensor q = arguments.skip(1).tensor();
    Tensor keys = arguments.tensor();
    Tensor values = arguments.tensor();
    long group = arguments.whole();
    long headDim = arguments.whole();
    long first = arguments.whole();
    long length = arguments.whole();
    float scale = arguments.skip(1).real();
    float cap = arguments.real();
    long n = length - first;
    Parts.ofRows(
        keys.size(0),
        n * headDim,
        (at, head, count) -> {
          Tensor queries =
              at.view(at.floats(heads(at, q, head, count, group)), count, group, headDim);
          Tensor k = at.floats(at.narrow(at.narrow(keys, 0, head, count), 1, first, n));
          Tensor v = at.floats(at.narrow(at.narrow(values, 0, head, count), 1, first, n));
          Tensor products = at.empty(q, DType.FLOAT32, count, group, n);
          Ops.bmm(products, queries, at.own(k.transpose(1, 2)));
          Tensor scores = at.mul(products, scale);
          if (cap != 0) {
            scores = at.mul(at.map("tanh", at.div(scores, cap)), cap);
          }
          Ops.softmax(scores, scores);
          Tensor sums = at.empty(q, DType.FLOAT32, count, group, headDim);
          Ops.bmm(sums, scores, v);
          heads(at, out, head, count, group).copyFrom(at.view(sums, count * group, headDim));
        });
  }

  /** The heads of queries that read some heads of keys. */
  private static Tensor heads(Aten at, Tensor heads, long first, long count, long group) {
    return at.narrow(heads, 0, first * group, count * group);
  }

  private static void append(KernelArguments arguments) {
    Tensor q = arguments.tensor();
    Tensor keys = arguments.tensor();
    Tensor values = arguments.tensor();
    Tensor qkv = arguments.tensor();
    Tensor cos = arguments.tensor();
    Tensor sin = arguments.tensor();
    long heads = arguments.whole();
    long keyValueHeads = arguments.whole();
    long half = arguments.whole();
    long headDim = arguments.whole();
    long place = arguments.skip(1).whole();
    try (Aten at = new Aten()) {
      Tensor c = at.view(at.narrow(cos, 0, place, 1), 1, 1, half);
      Tensor s = at.view(at.narrow(sin, 0, place, 1), 1, 1, half);
      // one token's heads, as a cache has those of a place: [heads, 1, D]
      Tensor token = at.view(qkv, heads + 2 * keyValueHeads, 1, headDim);
      Rotation.rotate(at, at.view(q, heads, 1, headDim), at.narrow(token, 0, 0, heads), c, s);
      Tensor key = at.narrow(token, 0, heads, keyValueHeads);
      Rotation.rotate(at, at.narrow(keys, 1, place, 1), key, c, s);
      at.narrow(values, 1, place, 1)
          .copyFrom(at.narrow(token, 0, heads + keyValueHeads, keyValueHeads));
    }
  }
}
