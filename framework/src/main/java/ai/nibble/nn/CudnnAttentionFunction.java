package ai.nibble.nn;

import ai.nibble.autograd.Earlier;
import ai.nibble.tensor.CudnnAttention;
import ai.nibble.tensor.Scope;
import ai.nibble.tensor.Tensor;

/** {@link Attention} by {@link CudnnAttention}: sequences of one length. */
final class CudnnAttentionFunction extends RotatedAttentionFunction<CudnnAttention.Result> {
  /** Lengths that are multiples of it are few, and cuDNN makes a plan for every length. */
  private static final int LENGTHS = 256;

  private final long sequences;

  CudnnAttentionFunction(Attention attention, Pass pass, Precision precision, Earlier earlier) {
    super(attention, pass, precision, earlier, CudnnAttention.Result.class);
    this.sequences = pass.sequences();
  }

  /**
   * Whether a pass is such. It depends on the pass alone: a run that goes on from a checkpoint
   * computes as if it had never stopped.
   */
  static boolean takes(Attention attention, Pass pass) {
    int[] starts = pass.sequenceStarts();
    int length = starts[1];
    boolean same = length % LENGTHS == 0 && attention.headDim() % 8 == 0;
    for (int s = 1; s + 1 < starts.length && same; s++) {
      same = starts[s + 1] - starts[s] == length;
    }
    return same && attention.headDim() <= 128;
  }

  @Override
  CudnnAttention.Result attend() {
    try (Scope scope = new Scope()) {
      return CudnnAttention.forward(
          part(scope, rotated, 0, attention.heads()),
          part(scope, rotated, firstKeyHead(), attention.keyValueHeads()),
          part(scope, rotated, firstValueHead(), attention.keyValueHeads()),
          attention.scale());
    }
  }

  /** Some heads of every sequence, {@code [B, heads, S, D]}, where they lie in {@code [N, …]}. */
  private Tensor part(Scope scope, Tensor tokens, long firstHead, long heads) {
    long d = attention.headDim();
    long width = tokens.size(1);
    long length = tokens.size(0) / sequences;
    long[] sizes = {sequences, heads, length, d};
    long[] strides = {length * width, d, width, 1};
    return scope.own(tokens.asStrided(sizes, strides, firstHead * d));
  }

  /** {@code [B, heads, S, D]} as {@code [N, heads, D]}: as it lies, or copied. */
  private Tensor tokenMajor(Tensor heads) {
    long d = attention.headDim();
    try (Tensor swapped = heads.transpose(1, 2);
        Tensor dense = swapped.isContiguous() ? swapped.share() : swapped.to(swapped.dtype())) {
      return dense.view(rotated.size(0), heads.size(1), d);
    }
  }

  @Override
  CudnnAttention.Result share(CudnnAttention.Result result) {
    return result.share();
  }

  @Override
  Tensor output(CudnnAttention.Result result) {
    try (Tensor tokens = tokenMajor(result.output())) {
      return tokens.view(rotated.size(0), (long) attention.heads() * attention.headDim());
    }
  }

  @Override
  HeadGradients differentiate(CudnnAttention.Result result, Tensor gradOutput) {
    try (Scope scope = new Scope();
        CudnnAttention.Gradients grads =
            CudnnAttention.backward(
                part(scope, gradOutput, 0, attention.heads()),
                part(scope, rotated, 0, attention.heads()),
                part(scope, rotated, firstKeyHead(), attention.keyValueHeads()),
                part(scope, rotated, firstValueHead(), attention.keyValueHeads()),
                result,
                attention.scale())) {
      return new HeadGradients(
          tokenMajor(grads.dq()), tokenMajor(grads.dk()), tokenMajor(grads.dv()));
    }
  }
}
