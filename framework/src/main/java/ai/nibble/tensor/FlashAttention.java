package ai.nibble.tensor;

import java.util.List;

/**
 * FlashAttention-2 of libtorch on CUDA, in its variable-length form: sequences lie back to back and
 * do not see each other (Dao 2023). float16 or bfloat16; keys and values may have fewer heads than
 * queries; heads' elements must be adjacent, everything else may be strided.
 */
public final class FlashAttention {
  private FlashAttention() {}

  /**
   * Where sequences begin.
   *
   * @param starts int32 {@code [sequences + 1]}: first token of each sequence, then their sum
   * @param longest tokens of the longest sequence
   */
  public record Sequences(Tensor starts, long longest) {}

  /**
   * @param output {@code [N, heads, D]}
   * @param logSumExp float32 of every query, for backward
   * @param rngState of dropout, which is off; backward wants it all the same
   * @param unused likewise
   */
  public record Result(Tensor output, Tensor logSumExp, Tensor rngState, Tensor unused)
      implements AutoCloseable {
    /** Another owner of the same. */
    public Result share() {
      return new Result(output.share(), logSumExp.share(), rngState.share(), unused.share());
    }

    @Override
    public void close() {
      List.of(output, logSumExp, rngState, unused).forEach(Tensor::close);
    }
  }

  /**
   * @param q {@code [N, heads, D]}
   * @param k {@code [N, kvHeads, D]}
   * @param v {@code [N, kvHeads, D]}
   * @param queries of q; the last query of a sequence sees its last key
   * @param keys of k and v
   * @return the caller's to close
   */
  public static Result forward(
      Tensor q, Tensor k, Tensor v, Sequences queries, Sequences keys, double scale) {
    long[][] results = new long[5][1];
    int code =
        CudaOps.aoti_torch_cuda__flash_attention_forward(
            q.handle(),
            k.handle(),
            v.handle(),
            new long[] {queries.starts.handle()},
            new long[] {keys.starts.handle()},
            queries.longest,
            keys.longest,
            0,
            1,
            0,
            new double[] {scale},
            null,
            null,
            null,
            null,
            results[0],
            results[1],
            results[2],
            results[3],
            results[4]);
    Tensor.check(code, "_flash_attention_forward", q, k, v, queries.starts, keys.starts);
    // the debug mask is empty
    Tensor.check(Libtorch.aoti_torch_delete_tensor_object(results[4][0]), "delete_tensor_object");
    return new Result(
        Tensor.adopt(results[0][0]),
        Tensor.adopt(results[1][0]),
        Tensor.adopt(results[2][0]),
        Tensor.adopt(results[3][0]));
  }

  /**
   * Gradients of queries, keys and values.
   *
   * @param dq {@code [N, heads, D]}
   * @param dk {@code [N, kvHeads, D]}
   * @param dv {@code [N, kvHeads, D]}
   */
  public record Gradients(Tensor dq, Tensor dk, Tensor dv) implements AutoCloseable {
    @Override
    public void close() {
      List.of(dq, dk, dv).forEach(Tensor::close);
    }
  }

  /**
   * Differentiates {@link #forward} with the same queries, keys, values and scale, where both have
   * the same sequences.
   *
   * @param gradOutput {@code [N, heads, D]}
   * @return the caller's to close
   */
  public static Gradients backward(
      Tensor gradOutput,
      Tensor q,
      Tensor k,
      Tensor v,
      Result forward,
      Sequences sequences,
      double scale) {
    long[][] results = new long[3][1];
    int code =
        CudaOps.aoti_torch_cuda__flash_attention_backward(
            gradOutput.handle(),
            q.handle(),
            k.handle(),
            v.handle(),
            forward.output().handle(),
            forward.logSumExp().handle(),
            sequences.starts.handle(),
            sequences.starts.handle(),
            sequences.longest,
            sequences.longest,
            0,
            1,
            forward.rngState().handle(),
            forward.unused().handle(),
            new double[] {scale},
            null,
            null,
            results[0],
            results[1],
            results[2]);
    Tensor.check(code, "_flash_attention_backward", gradOutput, q, k, v);
    return new Gradients(
        Tensor.adopt(results[0][0]), Tensor.adopt(results[1][0]), Tensor.adopt(results[2][0]));
  }
}
