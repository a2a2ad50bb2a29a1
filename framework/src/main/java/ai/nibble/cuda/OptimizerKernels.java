package ai.nibble.cuda;

import ai.nibble.cuda.composed.Optimizer;
import ai.nibble.tensor.CudaProgram;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Grid;
import ai.nibble.tensor.Tensor;

/**
 * The optimizer's passes over flat float32 tensors, with the bits of the same passes on the CPU. No
 * call waits for the device: the clipping factor stays there.
 */
public final class OptimizerKernels {
  static final CudaProgram PROGRAM =
      CudaProgram.of(OptimizerKernels.class, "types.cuh", "rows.cuh", "adamw.cuh", "optimizer.cu")
          .composedAs(Optimizer.KERNELS);

  /** Elements of a range, whose sum of squares is made of eight chains. */
  private static final int RANGE = 65536;

  private static final int CHAINS = 8;
  private static final int FINISH_THREADS = 256;

  private OptimizerKernels() {}

  /** {@code into += from}, float32 and equally long. */
  public static void add(Tensor into, Tensor from) {
    Operands operands = flat("optimizer_add", "into", into);
    long n = into.numel();
    operands.flat("from", from, DType.FLOAT32, n);
    Grid grid = Grids.flat(n, DType.FLOAT32);
    operands.launch(PROGRAM, "optimizer_add", grid, into, from, n);
  }

  /**
   * Writes Σ x², summed in double precision in an order that depends on the length alone, that of
   * the CPU. Allocates 8 float64 for 65536 elements while it is queued.
   *
   * @param result float64 {@code [1]}
   * @param values float32
   */
  public static void sumOfSquares(Tensor result, Tensor values) {
    Operands operands = flat("sum_of_squares", "values", values);
    operands.require("result", result, DType.FLOAT64, 1);
    long n = values.numel();
    long ranges = (n + RANGE - 1) / RANGE;
    try (Tensor partial = Tensor.empty(values.device(), DType.FLOAT64, ranges * CHAINS)) {
      // small blocks spread the chains, each as long as a range, over the device
      Grid grid = Grid.covering(ranges * CHAINS, 32, 32);
      operands.launch(PROGRAM, "sum_of_squares_chains", grid, partial, values, n);
      Grid one = Grid.of(1, FINISH_THREADS);
      operands.launch(PROGRAM, "sum_of_squares_finish", one, result, partial, ranges);
    }
  }

  /**
   * Writes what gradients are multiplied by and whether the step may be taken.
   *
   * @param factor float32 {@code [2]}: {@code min(1, maxNorm / (norm + 1e-6))}, or 1 where maxNorm
   *     is 0; and 1 if norm and loss are finite, else 0
   * @param sumOfSquares float64 {@code [1]}, the squared norm
   * @param loss float64 {@code [1]}; null for none
   * @param maxNorm 0 or more
   */
  public static void clipFactor(Tensor factor, Tensor sumOfSquares, Tensor loss, double maxNorm) {
    Operands operands = flat("clip_factor", "factor", factor);
    operands
        .require("factor", factor, DType.FLOAT32, 2)
        .require("sumOfSquares", sumOfSquares, DType.FLOAT64, 1)
        .number("maxNorm", maxNorm, maxNorm >= 0, "0 or more");
    if (loss != null) {
      operands.require("loss", loss, DType.FLOAT64, 1);
    }
    Grid one = Grid.of(1, 1);
    operands.launch(PROGRAM, "clip_factor", one, factor, sumOfSquares, loss, (float) maxNorm);
  }

  /**
   * One AdamW update of equally long float32 tensors; nothing is written where {@code factor[1]} is
   * 0.
   *
   * @param grad is multiplied by {@code factor[0]} as it is read
   * @param factor float32 {@code [2]} of {@link #clipFactor}
   */
  public static void adamW(
      Tensor param,
      Tensor grad,
      Tensor expAvg,
      Tensor expAvgSq,
      Tensor factor,
      AdamWConstants constants) {
    Operands operands = flat("adamw", "param", param);
    long n = param.numel();
    operands
        .flat("grad", grad, DType.FLOAT32, n)
        .flat("expAvg", expAvg, DType.FLOAT32, n)
        .flat("expAvgSq", expAvgSq, DType.FLOAT32, n)
        .require("factor", factor, DType.FLOAT32, 2);
    operands.launch(
        PROGRAM,
        "adamw",
        Grids.flat(n, DType.FLOAT32),
        param,
        grad,
        expAvg,
        expAvgSq,
        factor,
        n,
        constants.decay(),
        constants.weight1(),
        constants.beta2(),
        constants.weight2(),
        constants.correction2(),
        constants.eps(),
        constants.negativeStepSize());
  }

  private static Operands flat(String operation, String name, Tensor first) {
    return Operands.like(operation, name, first).require(name, first, DType.FLOAT32, first.shape());
  }
}
