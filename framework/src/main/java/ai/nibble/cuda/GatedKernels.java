package ai.nibble.cuda;

import ai.nibble.cuda.composed.Gates;
import ai.nibble.tensor.CudaProgram;
import ai.nibble.tensor.Grid;
import ai.nibble.tensor.Tensor;

/**
 * The gated activation {@code act(gate) ⊙ up} (Shazeer 2020). What act gives is rounded to the
 * dtype before the product, as two operations on tensors do it.
 */
public enum GatedKernels {
  /** act is {@code x·sigmoid(x)}. */
  SWIGLU("swiglu"),
  /** act is GELU by its hyperbolic tangent (Hendrycks and Gimpel 2016). */
  GEGLU("geglu");

  static final CudaProgram PROGRAM =
      CudaProgram.of(GatedKernels.class, "types.cuh", "rows.cuh", "gated.cu")
          .composedAs(Gates.KERNELS);

  private final String operation;

  GatedKernels(String operation) {
    this.operation = operation;
  }

  /**
   * Writes {@code act(gate) ⊙ up}.
   *
   * @param h {@code [N, I]}. Its rows may lie apart: the room behind each, which is then h's own,
   *     is set to zero
   * @param gateUp {@code [N, 2·I]}, gate left and up right; float32, bfloat16 or float16
   */
  public void forward(Tensor h, Tensor gateUp) {
    Operands operands = operands(gateUp, "h", h);
    int width = (int) h.size(1);
    Grid grid = Grids.rows(h.size(0), width, h.dtype());
    try (Tensor rows = h.withRoom()) {
      operands.launchTyped(
          PROGRAM, operation + "_forward", grid, rows, gateUp, width, rows.size(1));
    }
  }

  /**
   * Writes {@code [dh ⊙ up ⊙ act'(gate), dh ⊙ act(gate)]}.
   *
   * @param dGateUp {@code [N, 2·I]}; may be gateUp's memory
   * @param dh {@code [N, I]}; its rows may lie apart
   * @param gateUp what forward read
   */
  public void backward(Tensor dGateUp, Tensor dh, Tensor gateUp) {
    Operands operands = operands(gateUp, "dh", dh).typed("dGateUp", dGateUp, gateUp.shape());
    int width = (int) dh.size(1);
    operands.launchTyped(
        PROGRAM,
        operation + "_backward",
        Grids.rows(dh.size(0), width, dh.dtype()),
        dGateUp,
        dh,
        Math.max(width, dh.stride(0)),
        gateUp,
        width);
  }

  private Operands operands(Tensor gateUp, String name, Tensor h) {
    Operands operands = Operands.like(operation, "gateUp", gateUp).dimensions("gateUp", gateUp, 2);
    long n = gateUp.size(0);
    int width = operands.width("gateUp", gateUp.size(1)) / 2;
    return operands.typed("gateUp", gateUp, n, 2L * width).typedRows(name, h, n, width);
  }
}
