package ai.nibble.nn;

import ai.nibble.autograd.Function;
import ai.nibble.autograd.Gradients;
import ai.nibble.cuda.GatedKernels;
import ai.nibble.tensor.Ops;
import ai.nibble.tensor.Parallel;
import ai.nibble.tensor.Scope;
import ai.nibble.tensor.Tensor;

/**
 * The gated activation {@code silu(gate) ⊙ up} (Shazeer 2020) of {@code [N, 2·intermediate]}, gate
 * left and up right. Saves its input. Works by ranges of rows, so that what one operation writes is
 * still in a cache near the core when the next one reads it.
 */
public final class SwiGlu extends Function {
  /**
   * Elements of one array's range, 128 KiB in bfloat16: the six that backward touches fit a second
   * level cache of 1 MiB. In float32 they take 1.5 MiB and spill into the third.
   */
  private static final int ELEMENTS_A_RANGE = 1 << 16;

  private final int room;
  private Tensor gateUp;

  public SwiGlu() {
    this(0);
  }

  /**
   * @param room columns of zeros behind each row of the result, for the next function; 0 unless
   *     kernels compute it. The gradient may have such rows too
   */
  public SwiGlu(int room) {
    this.room = room;
  }

  /** What it holds: its output, and for backward its input. */
  public static Footprint footprint(Extent extent, int intermediate, int room) {
    long n = extent.tokens();
    long rows = Math.min(n, ELEMENTS_A_RANGE / intermediate + 1);
    long products = extent.kernels() ? 0 : extent.threads() * extent.compute(rows, intermediate);
    return Footprint.of(extent.compute(n, intermediate + room))
        .savingInput(0)
        .inBackward(
            0,
            Math.min(products, extent.compute(n, intermediate)),
            extent.compute(n, 2L * intermediate));
  }

  @Override
  protected Tensor[] forward(Tensor[] inputs) {
    gateUp = save(inputs[0]);
    Tensor input = inputs[0];
    long width = input.size(1) / 2;
    Tensor h = Tensor.emptyRows(input.device(), input.dtype(), input.size(0), width, width + room);
    if (Kernels.serve(input)) {
      GatedKernels.SWIGLU.forward(h, input);
      return new Tensor[] {h};
    }
    Parallel.forRanges(
        h.size(0),
        grain(h),
        (begin, end) -> {
          try (Scope scope = new Scope()) {
            Tensor to = rows(scope, h, begin, end);
            Tensor both = rows(scope, input, begin, end);
            Ops.silu(to, half(scope, both, 0));
            Ops.mul(to, to, half(scope, both, 1));
          }
        });
    return new Tensor[] {h};
  }

  /** {@code dup = dh ⊙ silu(gate)}; {@code dgate = dh ⊙ up ⊙ silu'(gate)}. */
  @Override
  protected void backward(Tensor[] gradOutputs, Gradients gradients) {
    Tensor dh = gradOutputs[0];
    Tensor result = Tensor.empty(gateUp.device(), gateUp.dtype(), gateUp.shape());
    if (Kernels.serve(gateUp)) {
      GatedKernels.SWIGLU.backward(result, dh, gateUp);
      gradients.add(0, result);
      return;
    }
    Parallel.forRanges(
        dh.size(0),
        grain(dh),
        (begin, end) -> {
          try (Scope scope = new Scope()) {
            Tensor both = rows(scope, gateUp, begin, end);
            backward(scope, both, rows(scope, dh, begin, end), rows(scope, result, begin, end));
          }
        });
    gradients.add(0, result);
  }

  private static void backward(Scope scope, Tensor both, Tensor dh, Tensor result) {
    Tensor gate = half(scope, both, 0);
    Tensor dGate = half(scope, result, 0);
    Tensor dUp = half(scope, result, 1);
    Ops.silu(dUp, gate);
    Ops.mul(dUp, dUp, dh);
    Tensor product = scope.own(Tensor.empty(dh.device(), dh.dtype(), dh.shape()));
    Ops.mul(product, dh, half(scope, both, 1));
    Ops.siluBackward(dGate, product, gate);
  }

  private static long grain(Tensor t) {
    return Math.max(1, ELEMENTS_A_RANGE / t.size(1));
  }

  private static Tensor rows(Scope scope, Tensor all, long begin, long end) {
    return scope.own(all.narrow(0, begin, end - begin));
  }

  private static Tensor half(Scope scope, Tensor both, int index) {
    long width = both.size(1) / 2;
    return scope.own(both.narrow(1, index * width, width));
  }
}
