package ai.nibble.nn;

import ai.nibble.autograd.Earlier;
import ai.nibble.tensor.FlashAttention;
import ai.nibble.tensor.Scope;
import ai.nibble.tensor.Tensor;

/** {@link Attention} by {@link FlashAttention}: sequences of any lengths, back to back. */
final class FlashAttentionFunction extends RotatedAttentionFunction<FlashAttention.Result> {
  FlashAttentionFunction(Attention attention, Pass pass, Precision precision, Earlier earlier) {
    super(attention, pass, precision, earlier, FlashAttention.Result.class);
  }

  @Override
  FlashAttention.Result attend() {
    try (Scope scope = new Scope()) {
      return FlashAttention.forward(
          part(scope, 0, attention.heads()),
          part(scope, firstKeyHead(), attention.keyValueHeads()),
          part(scope, firstValueHead(), attention.keyValueHeads()),
          positions.sequences(),
          positions.sequences(),
          attention.scale());
    }
  }

  /** Some heads of every token, {@code [N, heads, D]}, where they lie. */
  private Tensor part(Scope scope, long firstHead, long heads) {
    long d = attention.headDim();
    long[] sizes = {rotated.size(0), heads, d};
    return scope.own(rotated.asStrided(sizes, new long[] {rotated.size(1), d, 1}, firstHead * d));
  }

  @Override
  FlashAttention.Result share(FlashAttention.Result result) {
    return result.share();
  }

  @Override
  Tensor output(FlashAttention.Result result) {
    return result.output().view(rotated.size(0), (long) attention.heads() * attention.headDim());
  }

  @Override
  HeadGradients differentiate(FlashAttention.Result result, Tensor gradOutput) {
    try (Scope scope = new Scope()) {
      FlashAttention.Gradients grads =
          FlashAttention.backward(
              scope.own(gradOutput.view(rotated.size(0), attention.heads(), attention.headDim())),
              part(scope, 0, attention.heads()),
              part(scope, firstKeyHead(), attention.keyValueHeads()),
              part(scope, firstValueHead(), attention.keyValueHeads()),
              result,
              positions.sequences(),
              attention.scale());
      return new HeadGradients(grads.dq(), grads.dk(), grads.dv());
    }
  }
}
