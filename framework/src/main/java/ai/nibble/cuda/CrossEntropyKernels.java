package ai.nibble.cuda;

import ai.nibble.cuda.composed.CrossEntropy;
import ai.nibble.tensor.CudaProgram;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Grid;
import ai.nibble.tensor.Tensor;

/** Cross-entropy of rows of logits, in float32, and its gradient in the logits' place. */
public final class CrossEntropyKernels {
  static final CudaProgram PROGRAM =
      CudaProgram.of(
              CrossEntropyKernels.class, "types.cuh", "rows.cuh", "online.cuh", "cross_entropy.cu")
          .composedAs(CrossEntropy.KERNELS);

  private static final int ROW_THREADS = 512;
  private static final int SUM_THREADS = 256;

  private CrossEntropyKernels() {}

  /**
   * Each row's negative log-likelihood, {@code logsumexp(logits) − logits[target]}. Logits may be
   * −∞; a row without a finite one, with +∞ or NaN, or with a target outside the vocabulary has a
   * NaN loss.
   *
   * @param losses float32 {@code [M]}
   * @param logits {@code [M, V]}, float32, bfloat16 or float16
   * @param targets int32 {@code [M]}
   * @param gradientScale what the gradient is multiplied by, one over the normaliser
   * @param gradient whether {@code (softmax − onehot)·scale} takes the logits' place
   */
  public static void forward(
      Tensor losses, Tensor logits, Tensor targets, double gradientScale, boolean gradient) {
    Operands operands = operands(losses, logits, targets);
    int width = (int) logits.size(1);
    operands.launchTyped(
        PROGRAM,
        "cross_entropy",
        Grid.of(logits.size(0), ROW_THREADS),
        losses,
        logits,
        targets,
        width,
        (float) gradientScale,
        gradient ? 1 : 0);
  }

  /**
   * As {@link #forward}, of {@code cap·tanh(logits/cap)}; the gradient is that by the logits.
   *
   * @param cap above 0
   */
  public static void forwardCapped(
      Tensor losses,
      Tensor logits,
      Tensor targets,
      double gradientScale,
      boolean gradient,
      double cap) {
    Operands operands = operands(losses, logits, targets).number("cap", cap, cap > 0, "above 0");
    operands.launchTyped(
        PROGRAM,
        "capped_cross_entropy",
        Grid.of(logits.size(0), ROW_THREADS),
        losses,
        logits,
        targets,
        (int) logits.size(1),
        (float) gradientScale,
        gradient ? 1 : 0,
        (float) cap,
        (float) (1 / cap));
  }

  private static Operands operands(Tensor losses, Tensor logits, Tensor targets) {
    Operands operands =
        Operands.like("cross_entropy", "logits", logits).dimensions("logits", logits, 2);
    operands.width("logits", logits.size(1));
    return operands
        .require("losses", losses, DType.FLOAT32, logits.size(0))
        .require("targets", targets, DType.INT32, logits.size(0));
  }

  /**
   * Adds the sum of values to the result, in double precision; the same bits every time.
   *
   * @param result float64 {@code [1]}
   * @param values float32, a loss for each row
   */
  public static void sum(Tensor result, Tensor values) {
    Operands operands = Operands.like("cross_entropy_sum", "values", values);
    operands
        .require("values", values, DType.FLOAT32, values.shape())
        .require("result", result, DType.FLOAT64, 1);
    operands.launch(
        PROGRAM, "cross_entropy_sum", Grid.of(1, SUM_THREADS), result, values, values.numel());
  }
}
