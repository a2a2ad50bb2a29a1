package ai.nibble.nn;

import ai.nibble.autograd.Earlier;
import ai.nibble.autograd.Function;
import ai.nibble.autograd.Gradients;
import ai.nibble.cuda.RotaryKernels;
import ai.nibble.tensor.FlashAttention;
import ai.nibble.tensor.Scope;
import ai.nibble.tensor.Tensor;
import java.util.List;

/**
 * Forward and backward of {@link Attention} on a GPU, by {@link FlashAttention}: the sequences of a
 * pass as they lie, token-major, without padding. Saves the rotated queries, keys and values, the
 * output and the log-sum-exp of the scores.
 */
final class FlashAttentionFunction extends Function {
  private final Attention attention;
  private final Pass pass;
  private final Precision precision;
  private final Earlier earlier;
  private DevicePass positions;
  private Tensor rotated;
  private FlashAttention.Result result;

  FlashAttentionFunction(Attention attention, Pass pass, Precision precision, Earlier earlier) {
    this.attention = attention;
    this.pass = pass;
    this.precision = precision;
    this.earlier = earlier;
    if (pass.trunks().length > 0) {
      throw new IllegalArgumentException("branches of sequences have no kernel: " + pass);
    }
  }

  @Override
  protected Tensor[] forward(Tensor[] inputs) {
    Tensor qkv = inputs[0];
    positions = attention.rotary().onDevice(qkv.device(), pass);
    rotated = keep(Tensor.empty(qkv.device(), qkv.dtype(), qkv.shape()));
    RotaryKernels.rotate(
        rotated,
        qkv,
        positions.positions(),
        positions.cos(),
        positions.sin(),
        attention.heads(),
        attention.keyValueHeads());
    long width = (long) attention.heads() * attention.headDim();
    Tensor known = earlier.output(qkv.device(), precision.compute(), qkv.size(0), width);
    result = known == null ? attend() : asBefore(known);
    keep(result);
    return new Tensor[] {known == null ? result.output().view(qkv.size(0), width) : known};
  }

  private FlashAttention.Result attend() {
    try (Scope scope = new Scope()) {
      FlashAttention.Result attended =
          FlashAttention.forward(
              scope.own(queries()),
              scope.own(keys()),
              scope.own(values()),
              positions.sequences(),
              positions.sequences(),
              attention.scale());
      List.of(attended.logSumExp(), attended.rngState(), attended.unused())
          .forEach(earlier::keepAside);
      return attended;
    }
  }

  /** The result of the first run, put together from what it kept. */
  private FlashAttention.Result asBefore(Tensor known) {
    List<Tensor> aside = earlier.aside();
    return new FlashAttention.Result(
        known.view(known.size(0), attention.heads(), attention.headDim()),
        aside.get(0).share(),
        aside.get(1).share(),
        aside.get(2).share());
  }

  private Tensor queries() {
    return part(0, attention.heads());
  }

  private Tensor keys() {
    return part(attention.heads(), attention.keyValueHeads());
  }

  private Tensor values() {
    return part(attention.heads() + attention.keyValueHeads(), attention.keyValueHeads());
  }

  /** Some heads of every token, {@code [N, heads, D]}, where they lie. */
  private Tensor part(long firstHead, long heads) {
    long d = attention.headDim();
    long[] sizes = {rotated.size(0), heads, d};
    return rotated.asStrided(sizes, new long[] {rotated.size(1), d, 1}, firstHead * d);
  }

  @Override
  protected void backward(Tensor[] gradOutputs, Gradients gradients) {
    long n = rotated.size(0);
    try (Scope scope = new Scope()) {
      Tensor gradOutput = scope.own(gradOutputs[0].view(n, attention.heads(), attention.headDim()));
      FlashAttention.Gradients grads =
          scope.own(
              FlashAttention.backward(
                  gradOutput,
                  scope.own(queries()),
                  scope.own(keys()),
                  scope.own(values()),
                  result,
                  positions.sequences(),
                  attention.scale()));
      Tensor dqkv = Tensor.empty(rotated.device(), rotated.dtype(), rotated.shape());
      RotaryKernels.gradient(
          dqkv,
          grads.dq(),
          grads.dk(),
          grads.dv(),
          positions.positions(),
          positions.cos(),
          positions.sin());
      gradients.add(0, dqkv);
    }
  }
}
