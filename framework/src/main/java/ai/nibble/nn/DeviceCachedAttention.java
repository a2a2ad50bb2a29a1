package ai.nibble.nn;

import ai.nibble.autograd.Function;
import ai.nibble.autograd.Gradients;
import ai.nibble.cuda.RotaryKernels;
import ai.nibble.tensor.FlashAttention;
import ai.nibble.tensor.Scope;
import ai.nibble.tensor.Tensor;

/**
 * New tokens of each sequence, one or many, attend on a GPU to what its cache holds and to
 * themselves; their keys and values join the cache. Inference only.
 */
final class DeviceCachedAttention extends Function {
  private final Attention attention;
  private final Pass pass;
  private final int layer;

  DeviceCachedAttention(Attention attention, Pass pass, int layer) {
    this.attention = attention;
    this.pass = pass;
    this.layer = layer;
  }

  @Override
  protected Tensor[] forward(Tensor[] inputs) {
    Tensor qkv = inputs[0];
    long d = attention.headDim();
    DevicePass where = attention.rotary().onDevice(qkv.device(), pass);
    Tensor output = Tensor.empty(qkv.device(), qkv.dtype(), qkv.size(0), attention.heads() * d);
    try (Tensor rotated = Tensor.empty(qkv.device(), qkv.dtype(), qkv.shape())) {
      RotaryKernels.rotate(
          rotated,
          qkv,
          where.positions(),
          where.cos(),
          where.sin(),
          attention.heads(),
          attention.keyValueHeads());
      for (int s = 0; s < pass.sequences(); s++) {
        attend(where, s, rotated, output);
      }
      return new Tensor[] {output};
    } catch (RuntimeException e) {
      output.close();
      throw e;
    }
  }

  private void attend(DevicePass where, int sequence, Tensor rotated, Tensor output) {
    int first = pass.sequenceStarts()[sequence];
    int tokens = pass.sequenceStarts()[sequence + 1] - first;
    KvCache cache = pass.caches().get(sequence);
    int all = cache.length() + tokens;
    int kvHeads = attention.keyValueHeads();
    try (Scope scope = new Scope()) {
      Tensor own = scope.own(rotated.narrow(0, first, tokens));
      copy(scope, own, attention.heads(), scope.own(cache.nextKeys(layer, tokens)));
      copy(scope, own, attention.heads() + kvHeads, scope.own(cache.nextValues(layer, tokens)));
      Tensor keys = scope.own(cache.keys(layer, all));
      Tensor values = scope.own(cache.values(layer, all));
      FlashAttention.Result result =
          scope.own(
              FlashAttention.forward(
                  heads(scope, own, 0, attention.heads()),
                  scope.own(keys.transpose(0, 1)),
                  scope.own(values.transpose(0, 1)),
                  where.newTokens(sequence),
                  where.allTokens(sequence),
                  attention.scale()));
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
