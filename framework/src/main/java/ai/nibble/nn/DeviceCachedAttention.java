package ai.nibble.nn;

import ai.nibble.autograd.Function;
import ai.nibble.autograd.Gradients;
import ai.nibble.cuda.CachedAttentionKernels;
import ai.nibble.cuda.RotaryKernels;
import ai.nibble.tensor.FusedAttention;
import ai.nibble.tensor.Scope;
import ai.nibble.tensor.Tensor;

/**
 * New tokens of each sequence attend on a GPU to what its cache holds and to themselves; their keys
 * and values join the cache. A single token, as in decoding, by {@link CachedAttentionKernels},
 * which divide the keys among the device's multiprocessors; several by a {@link FusedAttention},
 * which divides the queries. Inference only.
 */
final class DeviceCachedAttention extends Function {
  private final Attention attention;
  private final FusedAttention kernel;
  private final Pass pass;
  private final int layer;

  DeviceCachedAttention(Attention attention, FusedAttention kernel, Pass pass, int layer) {
    this.attention = attention;
    this.kernel = kernel;
    this.pass = pass;
    this.layer = layer;
  }

  @Override
  protected Tensor[] forward(Tensor[] inputs) {
    Tensor qkv = inputs[0];
    long d = attention.headDim();
    DevicePass where = attention.rotary().onDevice(qkv.device(), pass);
    Tensor output = Tensor.empty(qkv.device(), qkv.dtype(), qkv.size(0), attention.heads() * d);
    try (Scope scope = new Scope()) {
      Tensor rotated = null;
      for (int s = 0; s < pass.sequences(); s++) {
        if (length(s) == 1 && d <= CachedAttentionKernels.MAX_HEAD_DIM) {
          attendOne(where, s, qkv, output);
        } else {
          rotated = rotated == null ? scope.own(rotated(where, qkv)) : rotated;
          attend(where, s, rotated, output);
        }
      }
      return new Tensor[] {output};
    } catch (RuntimeException e) {
      output.close();
      throw e;
    }
  }

  private int length(int sequence) {
    return pass.sequenceStarts()[sequence + 1] - pass.sequenceStarts()[sequence];
  }

  private void attendOne(DevicePass where, int sequence, Tensor qkv, Tensor output) {
    int row = pass.sequenceStarts()[sequence];
    int heads = attention.heads();
    int d = attention.headDim();
    KvCache cache = pass.caches().get(sequence);
    try (Scope scope = new Scope()) {
      Tensor keys = scope.own(cache.keys(layer, cache.capacity()));
      Tensor values = scope.own(cache.values(layer, cache.capacity()));
      Tensor q = scope.empty(qkv.device(), qkv.dtype(), heads, d);
      Tensor own = scope.own(qkv.narrow(0, row, 1));
      Tensor cos = scope.own(where.ofSequence(sequence, where.cos()));
      Tensor sin = scope.own(where.ofSequence(sequence, where.sin()));
      CachedAttentionKernels.append(keys, values, own, cache.length(), cos, sin, q);
      Tensor to = scope.own(scope.own(output.narrow(0, row, 1)).view(heads, d));
      CachedAttentionKernels.attend(
          to,
          q,
          keys,
          values,
          cache.length() + 1,
          new CachedAttentionKernels.Scores(
              attention.scale(), attention.window(), attention.cap()));
    }
  }

  private Tensor rotated(DevicePass where, Tensor qkv) {
    Tensor rotated = Tensor.empty(qkv.device(), qkv.dtype(), qkv.shape());
    try {
      RotaryKernels.rotate(
          rotated,
          qkv,
          where.rows(),
          where.cos(),
          where.sin(),
          attention.heads(),
          attention.keyValueHeads());
      return rotated;
    } catch (RuntimeException e) {
      rotated.close();
      throw e;
    }
  }

  private void attend(DevicePass where, int sequence, Tensor rotated, Tensor output) {
    int first = pass.sequenceStarts()[sequence];
    int tokens = length(sequence);
    KvCache cache = pass.caches().get(sequence);
    int all = cache.length() + tokens;
    int kvHeads = attention.keyValueHeads();
    try (Scope scope = new Scope()) {
      Tensor own = scope.own(rotated.narrow(0, first, tokens));
      copy(scope, own, attention.heads(), scope.own(cache.nextKeys(layer, tokens)));
      copy(scope, own, attention.heads() + kvHeads, scope.own(cache.nextValues(layer, tokens)));
      Tensor keys = scope.own(cache.keys(layer, all));
      Tensor values = scope.own(cache.values(layer, all));
      FusedAttention.Result result =
          scope.own(
              kernel.forward(
                  heads(scope, own, 0, attention.heads()),
                  scope.own(keys.transpose(0, 1)),
                  scope.own(values.transpose(0, 1)),
                  where.newTokens(sequence),
                  where.allTokens(sequence),
                  attention.scores()));
      Tensor to = scope.own(output.narrow(0, first, tokens));
      to.copyFrom(scope.own(result.output().view(tokens, output.size(1))));
    }
  }

  /** Copies keys or values of new tokens to their place in a cache. */
  private void copy(Scope scope, Tensor own, int firstHead, Tensor cache) {
    Tensor tokenMajor = heads(scope, own, firstHead, attention.keyValueHeads());
    cache.copyFrom(scope.own(tokenMajor.transpose(0, 1)));
  }

  /** Some heads of every token, {@code [tokens, heads, D]}, where they lie. */
  private Tensor heads(Scope scope, Tensor own, long firstHead, long heads) {
    long d = attention.headDim();
    long[] sizes = {own.size(0), heads, d};
    return scope.own(own.asStrided(sizes, new long[] {own.size(1), d, 1}, firstHead * d));
  }

  @Override
  protected void backward(Tensor[] gradOutputs, Gradients gradients) {
    throw new IllegalStateException("attention to a cache has no gradient");
  }
}
