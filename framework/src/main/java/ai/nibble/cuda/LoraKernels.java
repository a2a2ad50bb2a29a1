package ai.nibble.cuda;

import ai.nibble.cuda.composed.Lora;
import ai.nibble.tensor.CudaProgram;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Grid;
import ai.nibble.tensor.Tensor;

/**
 * What low-rank adapters (Hu et al. 2021) need beside matrix products. T is float32, bfloat16 or
 * float16.
 *
 * <p>Dropout is decided by a hash of a key and the element's index, where rows begin at multiples
 * of {@code (in + 3) & ~3}: backward drops what forward dropped, and so does the CPU.
 */
public final class LoraKernels {
  static final CudaProgram PROGRAM =
      CudaProgram.of(LoraKernels.class, "types.cuh", "rows.cuh", "lora.cu")
          .composedAs(Lora.KERNELS);

  private LoraKernels() {}

  /**
   * Lays {@code [x, h, 0]} side by side.
   *
   * @param extended {@code [N, in + r]} of T, or wider
   * @param x {@code [N, in]}
   * @param h {@code [N, r]}
   */
  public static void extend(Tensor extended, Tensor x, Tensor h) {
    Operands operands =
        Operands.like("lora_extend", "h", h)
            .dimensions("h", h, 2)
            .dimensions("extended", extended, 2);
    long n = h.size(0);
    int rank = operands.width("h", h.size(1));
    int width = operands.width("extended", extended.size(1));
    int in = operands.dimensions("x", x, 2).width("x", x.size(1));
    operands
        .number("in + r", in + rank, in + rank <= width, "at most extended's " + width)
        .typed("extended", extended, n, width)
        .typed("x", x, n, in);
    Grid grid = Grids.wholeRows(n, in, h.dtype());
    operands.launchTyped(PROGRAM, "lora_extend", grid, extended, x, h, in, rank, width);
  }

  /**
   * Writes x with elements dropped: 0 with probability p, else times {@code 1/(1−p)}.
   *
   * @param out {@code [N, in]} of T; may be x
   * @param x {@code [N, in]}; its rows may lie apart
   * @param p in [0, 1), used to a resolution of 2⁻¹⁶
   */
  public static void dropout(Tensor out, Tensor x, long key, double p) {
    Operands operands = Operands.like("lora_dropout", "out", out).dimensions("out", out, 2);
    int width = operands.width("out", out.size(1));
    operands.typedRows("x", x, out.size(0), width);
    requireProbability(operands, p);
    operands.launchTyped(
        PROGRAM,
        "lora_dropout",
        Grids.wholeRows(x.size(0), width, x.dtype()),
        out,
        x,
        width,
        Math.max(width, x.stride(0)),
        key,
        threshold(p),
        scale(p));
  }

  /**
   * The gradient by the input: {@code all[:, :in] + dropout(through) + prior}, summed in float32 in
   * this order and rounded once.
   *
   * @param result {@code [N, in]} of T; may be prior's memory
   * @param all {@code [N, in + r]}
   * @param through {@code [N, in]}, what comes through the adapters; null for none
   * @param prior {@code [N, in]}, a gradient to add to; null for none
   * @param p of dropout; 0 drops nothing
   */
  public static void inputGradient(
      Tensor result, Tensor all, Tensor through, Tensor prior, long key, double p) {
    Operands operands =
        Operands.like("lora_input_gradient", "result", result)
            .dimensions("result", result, 2)
            .dimensions("all", all, 2);
    long n = result.size(0);
    int in = operands.width("result", result.size(1));
    operands
        .number("in", in, in <= all.size(1), "at most the width of 'all', " + all.size(1))
        .typed("all", all, n, all.size(1))
        .typedOrNull("through", through, n, in)
        .typedOrNull("prior", prior, n, in);
    requireProbability(operands, p);
    operands.launchTyped(
        PROGRAM,
        "lora_input_gradient",
        Grids.wholeRows(n, in, result.dtype()),
        result,
        all,
        through,
        prior,
        in,
        all.size(1),
        key,
        threshold(p),
        scale(p));
  }

  /**
   * Writes columns {@code [firstColumn, firstColumn + ranks)} of rows {@code [firstRow, firstRow +
   * rows)}: zeros, and from {@code firstColumn + column} on {@code scaling·b}, which is rounded to
   * float32 and then to T.
   *
   * @param destination {@code [out, stride]} of T
   * @param ranks of all members of a group together
   * @param column of the member's first rank among them
   * @param b float32 {@code [rows, r]}; null writes zeros
   */
  public static void up(
      Tensor destination,
      long firstRow,
      int firstColumn,
      int ranks,
      int column,
      Tensor b,
      double scaling,
      long rows) {
    Operands operands =
        Operands.like("lora_up", "destination", destination)
            .dimensions("destination", destination, 2);
    long stride = destination.size(1);
    int r = b == null ? 0 : operands.dimensions("b", b, 2).width("b", b.size(1));
    if (b != null) {
      operands.require("b", b, DType.FLOAT32, rows, r);
    }
    operands
        .number(
            "firstRow",
            firstRow,
            firstRow >= 0 && rows >= 0 && firstRow + rows <= destination.size(0),
            "0 to " + (destination.size(0) - rows))
        .number(
            "firstColumn",
            firstColumn,
            firstColumn >= 0 && ranks >= 0 && (long) firstColumn + ranks <= stride,
            "0 to " + (stride - ranks))
        .number("column", column, column >= 0 && (long) column + r <= ranks, "0 to " + (ranks - r));
    operands.width("rows · ranks", rows * ranks);
    operands.launchTyped(
        PROGRAM,
        "lora_up",
        Grids.flat(rows * ranks, destination.dtype()),
        destination,
        b,
        (int) rows,
        stride,
        firstRow,
        firstColumn,
        ranks,
        column,
        r,
        scaling);
  }

  /**
   * Copies A to its rows among those of a group.
   *
   * @param destination {@code [ranks, in]} of T
   * @param a float32 {@code [r, in]}
   */
  public static void down(Tensor destination, long firstRow, Tensor a) {
    Operands operands =
        Operands.like("lora_down", "destination", destination)
            .dimensions("destination", destination, 2)
            .dimensions("a", a, 2);
    long in = destination.size(1);
    operands
        .require("a", a, DType.FLOAT32, a.size(0), in)
        .number(
            "firstRow",
            firstRow,
            firstRow >= 0 && firstRow + a.size(0) <= destination.size(0),
            "0 to " + (destination.size(0) - a.size(0)));
    Grid grid = Grids.flat(a.numel(), destination.dtype());
    operands.launchTyped(PROGRAM, "lora_down", grid, destination, a, firstRow * in, a.numel());
  }

  private static void requireProbability(Operands operands, double p) {
    operands.number("p", p, p >= 0 && p < 1, "from 0 to below 1");
  }

  private static int threshold(double p) {
    return (int) Math.round(p * 65536);
  }

  private static float scale(double p) {
    return (float) (1 / (1 - p));
  }
}
