package ai.nibble.nn;

import ai.nibble.autograd.Earlier;
import ai.nibble.autograd.Function;
import ai.nibble.autograd.Gradients;
import ai.nibble.cuda.RotaryKernels;
import ai.nibble.tensor.Tensor;

/**
 * Forward and backward of {@link Attention} on a GPU by one of libtorch's fused kernels, over
 * queries, keys and values as they lie, token-major and without padding. Saves them rotated, and
 * what the kernel wants back.
 *
 * @param <R> what the kernel's forward gives
 */
abstract class RotatedAttentionFunction<R extends AutoCloseable> extends Function {
  final Attention attention;
  DevicePass positions;
  Tensor rotated;
  private final Pass pass;
  private final Precision precision;
  private final Earlier earlier;
  private final Class<R> type;
  private R result;

  RotatedAttentionFunction(
      Attention attention, Pass pass, Precision precision, Earlier earlier, Class<R> type) {
    this.attention = attention;
    this.pass = pass;
    this.precision = precision;
    this.earlier = earlier;
    this.type = type;
    if (pass.trunks().length > 0) {
      throw new IllegalArgumentException("branches of sequences have no kernel: " + pass);
    }
  }

  /** Runs the kernel on the rotated queries, keys and values. */
  abstract R attend();

  /** Another owner of what the kernel gave. */
  abstract R share(R result);

  /** The output, {@code [N, heads·D]}; the caller closes it. */
  abstract Tensor output(R result);

  /**
   * Gradients of the rotated queries, keys and values, {@code [N, heads, D]} and {@code [N,
   * kvHeads, D]}; the caller closes them.
   *
   * @param gradOutput {@code [N, heads·D]}
   */
  abstract HeadGradients differentiate(R result, Tensor gradOutput);

  /** See {@link #differentiate}. */
  record HeadGradients(Tensor dq, Tensor dk, Tensor dv) implements AutoCloseable {
    @Override
    public void close() {
      dq.close();
      dk.close();
      dv.close();
    }
  }

  @Override
  protected final Tensor[] forward(Tensor[] inputs) {
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
    R before = earlier.aside(type);
    if (known != null && before != null) {
      result = keep(share(before));
      return new Tensor[] {known};
    }
    result = keep(attend());
    if (earlier.keepsAside()) {
      earlier.keepAside(share(result));
    }
    return new Tensor[] {output(result)};
  }

  @Override
  protected final void backward(Tensor[] gradOutputs, Gradients gradients) {
    Tensor dqkv = Tensor.empty(rotated.device(), rotated.dtype(), rotated.shape());
    try (HeadGradients grads = differentiate(result, gradOutputs[0])) {
      RotaryKernels.gradient(
          dqkv,
          grads.dq(),
          grads.dk(),
          grads.dv(),
          positions.positions(),
          positions.cos(),
          positions.sin());
    } catch (RuntimeException e) {
      dqkv.close();
      throw e;
    }
    gradients.add(0, dqkv);
  }

  final int firstKeyHead() {
    return attention.heads();
  }

  final int firstValueHead() {
    return attention.heads() + attention.keyValueHeads();
  }
}
