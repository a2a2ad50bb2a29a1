package ai.nibble.nn;

import ai.nibble.autograd.Earlier;
import ai.nibble.autograd.Function;
import ai.nibble.autograd.Gradients;
import ai.nibble.cuda.RotaryKernels;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.FusedAttention;
import ai.nibble.tensor.Ops;
import ai.nibble.tensor.Scope;
import ai.nibble.tensor.Tensor;
import java.util.List;

/**
 * Forward and backward of {@link Attention} on a GPU, by a {@link FusedAttention}: the sequences of
 * a pass as they lie, token-major, without padding. Saves the rotated queries, keys and values, the
 * output and what the kernel puts aside. A branch's keys and values are copied together with its
 * trunk's, in inference only.
 */
final class DeviceAttention extends Function {
  private final Attention attention;
  private final FusedAttention kernel;
  private final Pass pass;
  private final Precision precision;
  private final Earlier earlier;
  private DevicePass where;
  private Tensor rotated;
  private FusedAttention.Result result;

  DeviceAttention(
      Attention attention, FusedAttention kernel, Pass pass, Precision precision, Earlier earlier) {
    this.attention = attention;
    this.kernel = kernel;
    this.pass = pass;
    this.precision = precision;
    this.earlier = earlier;
  }

  /**
   * Forward saves the rotated heads and the log-sum-exp, float32, a value for each token and head;
   * the output is saved as itself. Backward holds the gradients of queries, keys and values, those
   * of keys and values for each query head before they are added, and the queries' in float32, as
   * FlashAttention-2 does; or what {@link ProductAttention} does.
   */
  static Footprint footprint(Extent e, Attention.Shape shape) {
    int heads = shape.heads();
    int kvHeads = shape.keyValueHeads();
    int headDim = shape.headDim();
    long n = e.tokens();
    long all = e.compute(n, (heads + 2L * kvHeads) * headDim);
    long wide = e.compute(n, (long) heads * headDim);
    if (Attention.byProducts(e.where(), shape.capped())) {
      ProductAttention.Held held = ProductAttention.held(e, shape);
      return Footprint.of(wide)
          .saving(all + held.saved())
          .savingOutput()
          .keepingAside(held.saved())
          .inForward(held.forward())
          .inBackward(held.backward(), all, all);
    }
    long repeated = heads == kvHeads ? 0 : 2 * wide;
    long sums = e.bytes(DType.FLOAT32, n, (long) heads * headDim);
    return Footprint.of(wide)
        .saving(all + e.bytes(DType.FLOAT32, heads, n))
        .savingOutput()
        .keepingAside(e.bytes(DType.FLOAT32, heads, n))
        .inForward(repeatsHeads(e) ? 2 * wide : 0)
        .inBackward(all + repeated + sums, all, all);
  }

  /** Memory-efficient attention, which float32 gets, takes as many keys as queries. */
  private static boolean repeatsHeads(Extent e) {
    return e.precision().compute() == DType.FLOAT32;
  }

  @Override
  protected Tensor[] forward(Tensor[] inputs) {
    Tensor qkv = inputs[0];
    where = attention.rotary().onDevice(qkv.device(), pass);
    rotated = keep(Tensor.empty(qkv.device(), qkv.dtype(), qkv.shape()));
    RotaryKernels.rotate(
        rotated,
        qkv,
        where.rows(),
        where.cos(),
        where.sin(),
        attention.heads(),
        attention.keyValueHeads());
    long width = (long) attention.heads() * attention.headDim();
    Tensor known = earlier.output(qkv.device(), precision.compute(), qkv.size(0), width);
    result = known == null || earlier.aside().isEmpty() ? attend() : asBefore(known);
    keep(result);
    return new Tensor[] {known == null ? result.output().view(qkv.size(0), width) : known};
  }

  private FusedAttention.Result attend() {
    try (Scope scope = new Scope()) {
      FusedAttention.Result attended =
          kernel.forward(
              scope.own(part(rotated, 0, attention.heads())),
              keysOrValues(scope, attention.heads()),
              keysOrValues(scope, attention.heads() + attention.keyValueHeads()),
              where.sequences(),
              where.keySequences(),
              attention.scores());
      attended.aside().forEach(earlier::keepAside);
      return attended;
    }
  }

  /** Some heads of every sequence's tokens, behind those of its trunk if it has one. */
  private Tensor keysOrValues(Scope scope, long firstHead) {
    Tensor own = scope.own(part(rotated, firstHead, attention.keyValueHeads()));
    if (where.keyRows() == null) {
      return own;
    }
    long[] shape = {where.keyRows().numel(), own.size(1), own.size(2)};
    Tensor rows = scope.empty(own.device(), own.dtype(), shape);
    return Ops.indexSelect(rows, own, where.keyRows());
  }

  /** The result of the first run, put together from what it kept. */
  private FusedAttention.Result asBefore(Tensor known) {
    List<Tensor> aside = earlier.aside().stream().map(Tensor::share).toList();
    return new FusedAttention.Result(
        known.view(known.size(0), attention.heads(), attention.headDim()), aside);
  }

  /** Some heads of every token, {@code [N, heads, D]}, where they lie. */
  private Tensor part(Tensor tokens, long firstHead, long heads) {
    long d = attention.headDim();
    long[] sizes = {tokens.size(0), heads, d};
    return tokens.asStrided(sizes, new long[] {tokens.size(1), d, 1}, firstHead * d);
  }

  @Override
  protected void backward(Tensor[] gradOutputs, Gradients gradients) {
    if (where.keyRows() != null) {
      throw new IllegalStateException("branches of sequences have no gradient on a device");
    }
    long n = rotated.size(0);
    try (Scope scope = new Scope()) {
      Tensor gradOutput = scope.own(gradOutputs[0].view(n, attention.heads(), attention.headDim()));
      FusedAttention.Gradients grads =
          scope.own(
              kernel.backward(
                  gradOutput,
                  scope.own(part(rotated, 0, attention.heads())),
                  keysOrValues(scope, attention.heads()),
                  keysOrValues(scope, attention.heads() + attention.keyValueHeads()),
                  result,
                  where.sequences(),
                  attention.scores()));
      Tensor dqkv = Tensor.empty(rotated.device(), rotated.dtype(), rotated.shape());
      RotaryKernels.gradient(
          dqkv, grads.dq(), grads.dk(), grads.dv(), where.rows(), where.cos(), where.sin());
      gradients.add(0, dqkv);
    }
  }
}
