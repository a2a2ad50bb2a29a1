package ai.nibble.cuda;

import ai.nibble.cuda.composed.Norms;
import ai.nibble.tensor.CudaProgram;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Grid;
import ai.nibble.tensor.Tensor;

/**
 * Root-mean-square normalisation {@code y = (w + offset) ⊙ x / √(mean(x²) + eps)} of rows, with
 * float32 statistics; what a {@link NormRule} leaves open is its.
 */
public final class RmsNormKernels {
  private static final String NAME = "rms_norm";
  static final CudaProgram PROGRAM =
      CudaProgram.of(RmsNormKernels.class, "types.cuh", "rows.cuh", "rms_norm.cu")
          .composedAs(Norms.KERNELS);

  private RmsNormKernels() {}

  /**
   * Normalises rows.
   *
   * @param y {@code [N, H]}; may be x's memory. Its rows may lie apart: the room behind each, which
   *     is then y's own, is set to zero
   * @param x {@code [N, H]}, float32, bfloat16 or float16
   * @param weight float32 {@code [H]}
   */
  public static void forward(Tensor y, Tensor x, Tensor weight, NormRule rule) {
    Operands operands = Operands.like(NAME, "x", x).dimensions("x", x, 2);
    int width = operands.width("x", x.size(1));
    operands.typedRows("y", y, x.size(0), width).require("weight", weight, DType.FLOAT32, width);
    int lanes = Grids.lanes(width, x.dtype());
    Grid grid = Grids.summedRows(x.size(0), lanes);
    try (Tensor rows = y.withRoom()) {
      operands.launchTyped(
          PROGRAM,
          "rms_norm_forward",
          grid,
          rows,
          x,
          weight,
          x.size(0),
          width,
          rows.size(1),
          rule.eps(),
          rule.offset(),
          rule.rounds() ? 1 : 0,
          lanes);
    }
  }

  /**
   * The gradient by x: {@code dx = prior + i·(w⊙dy) − x·i³/H·Σ(w⊙dy⊙x)}, i the inverse root, w with
   * the offset.
   *
   * @param dx {@code [N, H]}; may be the memory of prior, of dy or of x
   * @param dy {@code [N, H]} of x's dtype; its rows may lie apart
   * @param x what was normalised
   * @param weight float32 {@code [H]}
   * @param prior {@code [N, H]}, a gradient to add to; null for none
   */
  public static void backward(
      Tensor dx, Tensor dy, Tensor x, Tensor weight, Tensor prior, NormRule rule) {
    Operands operands = Operands.like(NAME, "x", x).dimensions("x", x, 2);
    int width = operands.width("x", x.size(1));
    operands
        .typed("dx", dx, x.shape())
        .typedRows("dy", dy, x.size(0), width)
        .typedOrNull("prior", prior, x.shape())
        .require("weight", weight, DType.FLOAT32, width);
    int lanes = Grids.lanes(width, x.dtype());
    Grid grid = Grids.summedRows(x.size(0), lanes);
    operands.launchTyped(
        PROGRAM,
        "rms_norm_backward",
        grid,
        dx,
        dy,
        Math.max(width, dy.stride(0)),
        x,
        weight,
        prior,
        x.size(0),
        width,
        rule.eps(),
        rule.offset(),
        rule.rounds() ? 1 : 0,
        lanes);
  }

  /**
   * Adds the gradient by the weight, {@code Σ dy ⊙ x·i} over the rows; the same bits every time.
   * Allocates N + 128·H float32 or less while it is queued.
   *
   * @param grad float32 {@code [H]}
   * @param dy {@code [N, H]} of x's dtype
   * @param x what was normalised
   */
  public static void weightGradient(Tensor grad, Tensor dy, Tensor x, NormRule rule) {
    Operands operands = Operands.like(NAME, "x", x).dimensions("x", x, 2);
    int width = operands.width("x", x.size(1));
    operands.typed("dy", dy, x.shape()).require("grad", grad, DType.FLOAT32, width);
    int lanes = Grids.lanes(width, x.dtype());
    try (Tensor inverse = Tensor.empty(x.device(), DType.FLOAT32, x.size(0))) {
      Grid grid = Grids.summedRows(x.size(0), lanes);
      operands.launchTyped(
          PROGRAM, "rms_norm_inverse", grid, inverse, x, x.size(0), width, rule.eps(), lanes);
      ColumnSums.addNormed(operands, grad, dy, x, inverse, rule.rounds());
    }
  }
}
