package ai.nibble.cuda;

import ai.nibble.cuda.composed.CachedAttention;
import ai.nibble.tensor.CudaProgram;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Grid;
import ai.nibble.tensor.Tensor;

/**
 * Attention of one new token to its sequence's cache, for decoding. Keys and values are {@code [kv,
 * capacity, D]}, T is float32, bfloat16 or float16; scores, softmax and sums are float32.
 *
 * <p>Keys are taken in chunks of {@value #CHUNK}, each by blocks of their own, so that a long
 * context fills the device though there are few heads; the chunks' results are joined in order, so
 * the bits depend on the lengths alone.
 */
public final class CachedAttentionKernels {
  /** Most elements of a head. */
  public static final int MAX_HEAD_DIM = 256;

  static final CudaProgram PROGRAM =
      CudaProgram.of(
              CachedAttentionKernels.class,
              "types.cuh",
              "rows.cuh",
              "rotary.cuh",
              "cached_attention.cu")
          .composedAs(CachedAttention.KERNELS);

  private static final int CHUNK = 128;
  private static final int THREADS = 128;

  /** Queries of a group that one block takes. */
  private static final int QUERIES = 4;

  private CachedAttentionKernels() {}

  /**
   * Float32 elements of workspace that {@link #attend} needs for so many keys; 0 if they are one
   * chunk. More does no harm: what the cache's capacity needs serves all its lengths.
   */
  public static long workspaceElements(int heads, int headDim, int keys) {
    int chunks = chunks(keys);
    return chunks <= 1 ? 0 : (long) heads * chunks * (headDim + 2);
  }

  private static int chunks(int keys) {
    return (int) (((long) keys + CHUNK - 1) / CHUNK);
  }

  /**
   * What is made of products of a query and keys.
   *
   * @param scale they are multiplied by
   * @param window above 0: only the last so many keys count; 0: all
   * @param cap above 0: a score s becomes {@code cap·tanh(s/cap)}; 0: it stays
   */
  public record Scores(double scale, int window, double cap) {
    /** Without a cap. */
    public Scores(double scale, int window) {
      this(scale, window, 0);
    }

    /** The first key that counts. */
    private int first(int length) {
      return window > 0 ? Math.max(0, length - window) : 0;
    }
  }

  /** As with a workspace, which is allocated while it is queued. */
  public static void attend(
      Tensor out, Tensor q, Tensor keys, Tensor values, int length, Scores scores) {
    Operands operands = Operands.like("cached_attention", "q", q).dimensions("q", q, 2);
    int taken = length - scores.first(length);
    long elements =
        workspaceElements((int) q.size(0), operands.width("q", q.size(1)), Math.max(0, taken));
    try (Tensor workspace = Tensor.empty(q.device(), DType.FLOAT32, elements)) {
      attend(out, q, keys, values, length, scores, workspace);
    }
  }

  /**
   * {@code out = softmax(scores of q·keysᵀ)·values}, heads of queries in groups by the key/value
   * head that they read.
   *
   * @param out {@code [heads, D]} of T
   * @param q {@code [heads, D]}, rotated
   * @param keys {@code [kv, capacity, D]}, of which the first {@code length} count
   * @param values {@code [kv, capacity, D]}
   * @param length from 1 to the capacity, the new token's own key among them
   * @param workspace float32 {@code [n]}, n {@link #workspaceElements} or more
   */
  public static void attend(
      Tensor out,
      Tensor q,
      Tensor keys,
      Tensor values,
      int length,
      Scores scores,
      Tensor workspace) {
    Operands operands =
        Operands.like("cached_attention", "q", q)
            .dimensions("q", q, 2)
            .dimensions("keys", keys, 3)
            .dimensions("workspace", workspace, 1);
    int heads = operands.width("q", q.size(0));
    int headDim = requireHeads(operands, q, keys, values);
    int capacity = operands.width("keys", keys.size(1));
    int keyValueHeads = operands.width("keys", keys.size(0));
    int first = scores.first(length);
    long needed = workspaceElements(heads, headDim, length - first);
    operands
        .typed("out", out, q.shape())
        .number("length", length, length >= 1 && length <= capacity, "1 to " + capacity)
        .number("window", scores.window, scores.window >= 0, "0 or more")
        .number("cap", scores.cap, scores.cap >= 0, "0 or more")
        .number("workspace", workspace.numel(), workspace.numel() >= needed, needed + " elements")
        .require("workspace", workspace, DType.FLOAT32, workspace.numel());
    int group = heads / keyValueHeads;
    int chunks = chunks(length - first);
    operands.launchTyped(
        PROGRAM,
        "cached_attention",
        new Grid(chunks, keyValueHeads, (group + QUERIES - 1) / QUERIES, THREADS, 0),
        out,
        workspace,
        q,
        keys,
        values,
        group,
        headDim,
        first,
        length,
        capacity,
        (float) scores.scale,
        (float) scores.cap);
    if (chunks > 1) {
      Grid grid = Grid.of(heads, THREADS);
      operands.launchTyped(PROGRAM, "cached_attention_join", grid, out, workspace, chunks, headDim);
    }
  }

  /** D, of which queries, keys and values are. */
  private static int requireHeads(Operands operands, Tensor q, Tensor keys, Tensor values) {
    long headDim = q.size(1);
    long keyValueHeads = keys.size(0);
    operands
        .number("D", headDim, headDim >= 1 && headDim <= MAX_HEAD_DIM, "1 to " + MAX_HEAD_DIM)
        .typed("keys", keys, keyValueHeads, keys.size(1), headDim)
        .typed("values", values, keys.shape())
        .number(
            "heads",
            q.size(0),
            keyValueHeads > 0 && q.size(0) % keyValueHeads == 0,
            "a multiple of the " + keyValueHeads + " key/value heads");
    return (int) headDim;
  }

  /**
   * Writes a token's rotated key and its value to place {@code at} of the cache, which is its
   * position, and its rotated queries to q.
   *
   * @param keys {@code [kv, capacity, D]} of T
   * @param values {@code [kv, capacity, D]}
   * @param qkv {@code [1, (heads + 2·kv)·D]}, as projections write it
   * @param at from 0 to below the capacity and the tables' rows
   * @param cos float32 {@code [P, R/2]}, of the R elements of a head that rotate
   * @param sin float32 {@code [P, R/2]}
   * @param q {@code [heads, D]}
   */
  public static void append(
      Tensor keys, Tensor values, Tensor qkv, int at, Tensor cos, Tensor sin, Tensor q) {
    Operands operands =
        Operands.like("cached_attention_append", "q", q)
            .dimensions("q", q, 2)
            .dimensions("keys", keys, 3);
    int half = RotaryKernels.half(operands, cos, sin);
    int heads = operands.width("q", q.size(0));
    int headDim = RotaryKernels.headDim(operands, q.size(1), half);
    int keyValueHeads = operands.width("keys", keys.size(0));
    int capacity = operands.width("keys", keys.size(1));
    long most = Math.min(capacity, cos.size(0));
    operands
        .typed("q", q, heads, headDim)
        .typed("keys", keys, keyValueHeads, capacity, headDim)
        .typed("values", values, keys.shape())
        .flat("qkv", qkv, q.dtype(), (heads + 2L * keyValueHeads) * headDim)
        .number("at", at, at >= 0 && at < most, "0 to " + (most - 1));
    operands.launchTyped(
        PROGRAM,
        "cached_attention_append",
        Grids.wholeRows(heads + 2L * keyValueHeads, half, q.dtype()),
        q,
        keys,
        values,
        qkv,
        cos,
        sin,
        heads,
        keyValueHeads,
        half,
        headDim,
        capacity,
        at);
  }
}
