package ai.nibble.cuda;

import ai.nibble.tensor.DType;
import ai.nibble.tensor.Tensor;

/**
 * Root-mean-square normalisation of each head of queries and of keys, as {@link RmsNormKernels} has
 * it of rows; heads of values are copied. A head has a warp.
 */
public final class HeadNormKernels {
  private static final String NAME = "head_norm";
  private static final int WARP = 32;

  private HeadNormKernels() {}

  /**
   * Normalises heads.
   *
   * @param y {@code [N, (heads + 2·keyValueHeads)·D]}; may be x's memory
   * @param x queries, keys and values side by side, float32, bfloat16 or float16
   * @param queryWeight float32 {@code [D]}, of all query heads
   * @param keyWeight float32 {@code [D]}, of all key heads
   */
  public static void forward(
      Tensor y,
      Tensor x,
      Tensor queryWeight,
      Tensor keyWeight,
      int heads,
      int keyValueHeads,
      double eps) {
    Operands operands = Operands.like(NAME, "x", x).dimensions("x", x, 2);
    int width = requireHeads(operands, x, queryWeight, keyWeight, heads, keyValueHeads);
    operands.typed("y", y, x.shape());
    long rows = x.numel() / width;
    operands.launchTyped(
        RmsNormKernels.PROGRAM,
        "head_norm_forward",
        Grids.summedRows(rows, WARP),
        y,
        x,
        queryWeight,
        keyWeight,
        heads,
        keyValueHeads,
        rows,
        width,
        (float) eps);
  }

  /**
   * The gradient by x: of values' heads the result's own.
   *
   * @param dx like x; may be the memory of prior, of dy or of x
   * @param dy like x
   * @param x what was normalised
   * @param prior like x, a gradient to add to; null for none
   */
  public static void backward(
      Tensor dx,
      Tensor dy,
      Tensor x,
      Tensor queryWeight,
      Tensor keyWeight,
      Tensor prior,
      int heads,
      int keyValueHeads,
      double eps) {
    Operands operands = Operands.like(NAME, "x", x).dimensions("x", x, 2);
    int width = requireHeads(operands, x, queryWeight, keyWeight, heads, keyValueHeads);
    operands
        .typed("dx", dx, x.shape())
        .typed("dy", dy, x.shape())
        .typedOrNull("prior", prior, x.shape());
    long rows = x.numel() / width;
    operands.launchTyped(
        RmsNormKernels.PROGRAM,
        "head_norm_backward",
        Grids.summedRows(rows, WARP),
        dx,
        dy,
        x,
        queryWeight,
        keyWeight,
        prior,
        heads,
        keyValueHeads,
        rows,
        width,
        (float) eps);
  }

  /** Elements of a head, D. */
  private static int requireHeads(
      Operands operands, Tensor x, Tensor queryWeight, Tensor keyWeight, int heads, int kvHeads) {
    int width = operands.width("query weight", queryWeight.numel());
    operands
        .number("heads", heads, heads >= 1 && kvHeads >= 1, "1 or more of queries and of keys")
        .require("query weight", queryWeight, DType.FLOAT32, width)
        .require("key weight", keyWeight, DType.FLOAT32, width)
        .typed("x", x, x.size(0), (heads + 2L * kvHeads) * width);
    return width;
  }
}
