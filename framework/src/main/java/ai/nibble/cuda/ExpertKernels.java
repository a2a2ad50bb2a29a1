package ai.nibble.cuda;

import ai.nibble.cuda.composed.Experts;
import ai.nibble.tensor.CudaProgram;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Grid;
import ai.nibble.tensor.Tensor;

/**
 * What mixtures of experts need beside the experts: the choice of a router, tokens brought to the
 * experts and what comes back summed, and the gradients. A pair is a token and one of its k
 * experts, in the order of the experts; each pair has a row, rows stand expert by expert. T is
 * float32, bfloat16 or float16; sums are float32 in a fixed order.
 */
public final class ExpertKernels {
  static final CudaProgram PROGRAM =
      CudaProgram.of(ExpertKernels.class, "types.cuh", "rows.cuh", "experts.cu")
          .composedAs(Experts.KERNELS);

  private static final int WARP = 32;

  private ExpertKernels() {}

  /**
   * Chooses the experts of the highest probabilities, of equal ones the first, in ascending order.
   *
   * @param experts int32 {@code [N, k]}
   * @param weights float32 {@code [N, k]}: the probabilities, or their shares of the sum of them
   * @param probabilities float32 {@code [N, E]}
   * @param sumToOne whether they are divided by their sum
   */
  public static void choose(
      Tensor experts, Tensor weights, Tensor probabilities, boolean sumToOne) {
    Operands operands = choice("experts_choose", experts, weights, probabilities);
    operands.launch(
        PROGRAM,
        "experts_choose",
        Grids.summedRows(probabilities.size(0), WARP),
        experts,
        weights,
        probabilities,
        probabilities.size(0),
        (int) probabilities.size(1),
        (int) experts.size(1),
        sumToOne ? 1 : 0);
  }

  /**
   * The gradient by the logits whose softmax the probabilities are.
   *
   * @param dLogits float32 {@code [N, E]}
   * @param dWeights float32 {@code [N, k]}
   * @param experts what {@link #choose} gave
   */
  public static void chooseBackward(
      Tensor dLogits, Tensor dWeights, Tensor experts, Tensor probabilities, boolean sumToOne) {
    Operands operands = choice("experts_choose_backward", experts, dWeights, probabilities);
    operands.require("dLogits", dLogits, DType.FLOAT32, probabilities.shape());
    operands.launch(
        PROGRAM,
        "experts_choose_backward",
        Grids.summedRows(probabilities.size(0), WARP),
        dLogits,
        dWeights,
        experts,
        probabilities,
        probabilities.size(0),
        (int) probabilities.size(1),
        (int) experts.size(1),
        sumToOne ? 1 : 0);
  }

  private static Operands choice(
      String operation, Tensor experts, Tensor weights, Tensor probabilities) {
    Operands operands =
        Operands.on(operation, probabilities.device())
            .dimensions("probabilities", probabilities, 2)
            .dimensions("experts", experts, 2)
            .require("probabilities", probabilities, DType.FLOAT32, probabilities.shape());
    long k = experts.size(1);
    long count = operands.width("probabilities", probabilities.size(1));
    return operands
        .number("k", k, k >= 1 && k <= count, "1 to " + count)
        .require("experts", experts, DType.INT32, probabilities.size(0), k)
        .require("weights", weights, DType.FLOAT32, probabilities.size(0), k);
  }

  /**
   * Copies rows.
   *
   * @param out {@code [R, H]} of T
   * @param x {@code [N, H]}
   * @param tokens int32 {@code [R]}: the row of x that each is, below N
   */
  public static void gather(Tensor out, Tensor x, Tensor tokens) {
    Operands operands = Operands.like("experts_gather", "out", out).dimensions("out", out, 2);
    int width = operands.width("out", out.size(1));
    operands
        .dimensions("x", x, 2)
        .typed("x", x, x.size(0), width)
        .require("tokens", tokens, DType.INT32, out.size(0));
    Grid grid = Grids.rows(out.size(0), width, out.dtype());
    operands.launchTyped(PROGRAM, "experts_gather", grid, out, x, tokens, width);
  }

  /**
   * Sums the rows of each token's pairs in their order, and rounds once.
   *
   * @param out {@code [N, H]} of T; may be prior's memory
   * @param rows {@code [N·k, H]}
   * @param weights float32 {@code [N, k]} that they are multiplied by; null: 1
   * @param rowOf int32 {@code [N·k]}, the row of each pair, below N·k
   * @param prior {@code [N, H]}, added at last; null for none
   */
  public static void sum(Tensor out, Tensor rows, Tensor weights, Tensor rowOf, Tensor prior) {
    Operands operands =
        Operands.like("experts_sum", "out", out)
            .dimensions("out", out, 2)
            .dimensions("rows", rows, 2);
    int width = operands.width("out", out.size(1));
    long n = out.size(0);
    long k = n == 0 ? 1 : rows.size(0) / n;
    operands
        .typed("rows", rows, n * k, width)
        .require("rowOf", rowOf, DType.INT32, n * k)
        .typedOrNull("prior", prior, out.shape());
    if (weights != null) {
      operands.require("weights", weights, DType.FLOAT32, n, k);
    }
    operands.launchTyped(
        PROGRAM,
        "experts_sum",
        Grids.rows(n, width, out.dtype()),
        out,
        rows,
        weights,
        rowOf,
        prior,
        (int) k,
        width);
  }

  /**
   * The gradients of some rows of {@link #sum} and of their weights.
   *
   * @param dy {@code [R, H]} of T: {@code weight·dz} of each row
   * @param dWeights float32 {@code [N, k]}, of which those of the rows' pairs are written
   * @param dz {@code [N, H]}
   * @param y {@code [R, H]}, the rows
   * @param weights float32 {@code [N, k]}
   * @param tokens int32 {@code [R]}, the token of each row
   * @param pairs int32 {@code [R]}, the pair of each row
   */
  public static void weigh(
      Tensor dy,
      Tensor dWeights,
      Tensor dz,
      Tensor y,
      Tensor weights,
      Tensor tokens,
      Tensor pairs) {
    Operands operands =
        Operands.like("experts_weigh", "dy", dy)
            .dimensions("dy", dy, 2)
            .dimensions("dz", dz, 2)
            .dimensions("weights", weights, 2);
    int width = operands.width("dy", dy.size(1));
    operands
        .typed("y", y, dy.shape())
        .typed("dz", dz, dz.size(0), width)
        .require("weights", weights, DType.FLOAT32, dz.size(0), weights.size(1))
        .require("dWeights", dWeights, DType.FLOAT32, weights.shape())
        .require("tokens", tokens, DType.INT32, dy.size(0))
        .require("pairs", pairs, DType.INT32, dy.size(0));
    operands.launchTyped(
        PROGRAM,
        "experts_weigh",
        Grids.wholeRows(dy.size(0), width, dy.dtype()),
        dy,
        dWeights,
        dz,
        y,
        weights,
        tokens,
        pairs,
        width);
  }
}
