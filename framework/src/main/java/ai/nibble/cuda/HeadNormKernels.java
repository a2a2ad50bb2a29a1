package ai.nibble.cuda;

import ai.nibble.tensor.DType;
import ai.nibble.tensor.Tensor;

/**
 * Root-mean-square normalisation of each head of queries and of keys, as {@link RmsNormKernels} has
 * it of rows; heads of values are copied. Heads of queries may have another width than those of
 * keys: all heads together are one wide head.
 */
public final class HeadNormKernels {
  private static final String NAME = "head_norm";

  private HeadNormKernels() {}

  /**
   * What is normalised, and by what.
   *
   * @param queryWeight float32 {@code [Dq]}, of all query heads
   * @param keyWeight float32 {@code [Dk]}, of all key heads; heads of values are as wide
   * @param heads of queries
   * @param keyValueHeads of keys, and as many of values
   */
  public record Heads(
      Tensor queryWeight, Tensor keyWeight, int heads, int keyValueHeads, NormRule rule) {}

  /**
   * Normalises heads.
   *
   * @param y {@code [N, heads·Dq + 2·keyValueHeads·Dk]}; may be x's memory
   * @param x queries, keys and values side by side, float32, bfloat16 or float16
   */
  public static void forward(Tensor y, Tensor x, Heads heads) {
    Operands operands = operands(x, heads).typed("y", y, x.shape());
    long rows = rows(x, heads);
    int lanes = lanes(x, heads);
    operands.launchTyped(
        RmsNormKernels.PROGRAM,
        "head_norm_forward",
        Grids.summedRows(rows, lanes),
        y,
        x,
        heads.queryWeight,
        heads.keyWeight,
        heads.heads,
        heads.keyValueHeads,
        (int) heads.queryWeight.numel(),
        (int) heads.keyWeight.numel(),
        rows,
        heads.rule.eps(),
        heads.rule.offset(),
        heads.rule.rounds() ? 1 : 0,
        lanes);
  }

  /**
   * The gradient by x: of values' heads the result's own.
   *
   * @param dx like x; may be the memory of prior, of dy or of x
   * @param dy like x
   * @param x what was normalised
   * @param prior like x, a gradient to add to; null for none
   */
  public static void backward(Tensor dx, Tensor dy, Tensor x, Tensor prior, Heads heads) {
    Operands operands =
        operands(x, heads)
            .typed("dx", dx, x.shape())
            .typed("dy", dy, x.shape())
            .typedOrNull("prior", prior, x.shape());
    long rows = rows(x, heads);
    int lanes = lanes(x, heads);
    operands.launchTyped(
        RmsNormKernels.PROGRAM,
        "head_norm_backward",
        Grids.summedRows(rows, lanes),
        dx,
        dy,
        x,
        heads.queryWeight,
        heads.keyWeight,
        prior,
        heads.heads,
        heads.keyValueHeads,
        (int) heads.queryWeight.numel(),
        (int) heads.keyWeight.numel(),
        rows,
        heads.rule.eps(),
        heads.rule.offset(),
        heads.rule.rounds() ? 1 : 0,
        lanes);
  }

  private static Operands operands(Tensor x, Heads heads) {
    Operands operands = Operands.like(NAME, "x", x).dimensions("x", x, 2);
    int query = operands.width("query weight", heads.queryWeight.numel());
    int key = operands.width("key weight", heads.keyWeight.numel());
    boolean some = heads.heads >= 1 && heads.keyValueHeads >= 1;
    return operands
        .number("heads", heads.heads, some, "1 or more of queries and of keys")
        .require("query weight", heads.queryWeight, DType.FLOAT32, query)
        .require("key weight", heads.keyWeight, DType.FLOAT32, key)
        .typed("x", x, x.size(0), (long) heads.heads * query + 2L * heads.keyValueHeads * key);
  }

  /** Heads of all tokens. */
  private static long rows(Tensor x, Heads heads) {
    return x.size(0) * (heads.heads + 2L * heads.keyValueHeads);
  }

  /** Threads of a head: as many as the wider kind takes. */
  private static int lanes(Tensor x, Heads heads) {
    long widest = Math.max(heads.queryWeight.numel(), heads.keyWeight.numel());
    return Grids.lanes(widest, x.dtype());
  }
}
