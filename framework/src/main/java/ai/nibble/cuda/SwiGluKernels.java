package ai.nibble.cuda;

import ai.nibble.tensor.CudaProgram;
import ai.nibble.tensor.Tensor;

/**
 * The gated activation {@code silu(gate) ⊙ up} (Shazeer 2020). silu is rounded to the dtype before
 * the product, as two operations on tensors do it.
 */
public final class SwiGluKernels {
  private static final String NAME = "swiglu";
  static final CudaProgram PROGRAM =
      CudaProgram.of(SwiGluKernels.class, "types.cuh", "rows.cuh", "swiglu.cu");

  private SwiGluKernels() {}

  /**
   * Writes {@code silu(gate) ⊙ up}.
   *
   * @param h {@code [N, I]}
   * @param gateUp {@code [N, 2·I]}, gate left and up right; float32, bfloat16 or float16
   */
  public static void forward(Tensor h, Tensor gateUp) {
    Operands operands = operands("h", h, gateUp);
    operands.launchTyped(
        PROGRAM,
        "swiglu_forward",
        Grids.rows(h.size(0), h.size(1), h.dtype()),
        h,
        gateUp,
        operands.width("h", h.size(1)));
  }

  /**
   * Writes {@code [dh ⊙ up ⊙ silu'(gate), dh ⊙ silu(gate)]}.
   *
   * @param dGateUp {@code [N, 2·I]}; may be gateUp's memory
   * @param dh {@code [N, I]}
   * @param gateUp what forward read
   */
  public static void backward(Tensor dGateUp, Tensor dh, Tensor gateUp) {
    Operands operands = operands("dh", dh, gateUp).typed("dGateUp", dGateUp, gateUp.shape());
    operands.launchTyped(
        PROGRAM,
        "swiglu_backward",
        Grids.rows(dh.size(0), dh.size(1), dh.dtype()),
        dGateUp,
        dh,
        gateUp,
        operands.width("dh", dh.size(1)));
  }

  private static Operands operands(String name, Tensor h, Tensor gateUp) {
    Operands operands = Operands.like(NAME, name, h).dimensions(name, h, 2);
    return operands.typed("gateUp", gateUp, h.size(0), 2 * h.size(1));
  }
}
