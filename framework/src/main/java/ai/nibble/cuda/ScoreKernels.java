package ai.nibble.cuda;

import ai.nibble.cuda.composed.Scores;
import ai.nibble.tensor.CudaProgram;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Grid;
import ai.nibble.tensor.Tensor;
import java.util.ArrayList;
import java.util.List;

/**
 * From products of queries and keys to probabilities, and back: what causal attention is between
 * batched products. A query sees the keys of its own sequence up to its own, the last query of a
 * sequence the last key. T is float32, bfloat16 or float16; scores and sums are float32.
 */
public final class ScoreKernels {
  static final CudaProgram PROGRAM =
      CudaProgram.of(ScoreKernels.class, "types.cuh", "rows.cuh", "online.cuh", "scores.cu")
          .composedAs(Scores.KERNELS);

  private ScoreKernels() {}

  /**
   * The sequences of all queries and keys, which lie back to back.
   *
   * @param queries int32 {@code [sequences + 1]}, first query of each, then their number
   * @param keys the same of keys, of which a sequence has as many or more
   * @param group query heads that share a head of keys
   * @param tokens of all queries, N
   * @param scores what is made of products
   */
  public record Sequences(
      Tensor queries, Tensor keys, int group, int tokens, CachedAttentionKernels.Scores scores) {}

  /**
   * Puts probabilities in the place of products; of keys that are not seen zeros, whatever their
   * products are.
   *
   * @param products {@code [kv, tokens·group, keys]} of T, row t·group + g of token t: of some
   *     tokens by all keys that any of them sees
   * @param statistics float32 {@code [kv, N·group, 2]}, takes each row's greatest score and the
   *     logarithm of the sum of its exponentials relative to that
   * @param firstToken number of the first token
   * @param firstKey number of the first key
   */
  public static void forward(
      Tensor products, Tensor statistics, int firstToken, int firstKey, Sequences sequences) {
    Operands operands = operands(products, statistics, firstToken, sequences);
    launch(operands, "scores_forward", firstToken, firstKey, sequences, products, statistics);
  }

  /**
   * Puts probabilities in the place of products again, and the gradient by the products in that of
   * the probabilities' gradient.
   *
   * @param products as in {@link #forward}
   * @param gradients of products' shape: those by the probabilities
   * @param statistics what forward made
   */
  public static void backward(
      Tensor products,
      Tensor gradients,
      Tensor statistics,
      int firstToken,
      int firstKey,
      Sequences sequences) {
    Operands operands =
        operands(products, statistics, firstToken, sequences)
            .typed("gradients", gradients, products.shape());
    launch(
        operands,
        "scores_backward",
        firstToken,
        firstKey,
        sequences,
        products,
        gradients,
        statistics);
  }

  /**
   * @param rows what a kernel takes of the rows, their products first
   */
  private static void launch(
      Operands operands,
      String kernel,
      int firstToken,
      int firstKey,
      Sequences sequences,
      Tensor... rows) {
    Tensor products = rows[0];
    List<Object> arguments = new ArrayList<>(List.of(rows));
    arguments.addAll(
        List.of(
            sequences.queries,
            sequences.keys,
            (int) sequences.queries.numel() - 1,
            sequences.scores.window(),
            sequences.group,
            sequences.tokens,
            firstToken,
            firstKey,
            (int) products.size(2),
            (float) sequences.scores.scale(),
            (float) sequences.scores.cap()));
    operands.launchTyped(PROGRAM, kernel, grid(products), arguments.toArray());
  }

  /** A block a row, whose threads take turns. */
  private static Grid grid(Tensor products) {
    int threads = Grids.wholeRows(1, products.size(2), products.dtype()).threads();
    return new Grid((int) products.size(1), (int) products.size(0), 1, threads, 0);
  }

  private static Operands operands(
      Tensor products, Tensor statistics, int firstToken, Sequences sequences) {
    Operands operands =
        Operands.like("scores", "products", products).dimensions("products", products, 3);
    long rows = products.size(1);
    long all = (long) sequences.tokens * sequences.group;
    operands.width("products", products.size(2));
    return operands
        .number("rows", rows, rows % sequences.group == 0, "a multiple of " + sequences.group)
        .number(
            "firstToken",
            firstToken,
            firstToken >= 0 && (long) firstToken * sequences.group + rows <= all,
            "0 to " + (all - rows) / sequences.group)
        .require("statistics", statistics, DType.FLOAT32, products.size(0), all, 2)
        .require("queries", sequences.queries, DType.INT32, sequences.queries.numel())
        .require("keys", sequences.keys, DType.INT32, sequences.queries.numel());
  }
}
