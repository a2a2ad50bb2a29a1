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
   * @param output {@code [N, heads, D]}
   * @param logSumExp float32 of every query, for backward
   * @param rngState of dropout, which is off; backward wants it all the same
   * @param unused likewise
   */
  public record Result(Tensor output, Tensor logSumExp, Tensor rngState, Tensor unused)
      implements AutoCloseable {
    @Override
    public void close() {
      List.of(output, logSumExp, rngState, unused).forEach(Tensor::close);
    }
  }

  /**
   * @param q {@code [N, heads, D]}
   * @param k {@code [N, kvHeads, D]}
   * @param v {@code [N, kvHeads, D]}
   * @param starts int32 {@code [sequences + 1]}: first token of each sequence, then N
   * @param longest tokens of the longest sequence
   * @return the caller's to close
   */
  public static Result forward(
      Tensor q, Tensor k, Tensor v, Tensor starts, long longest, double scale) {
    long[][] results = new long[5][1];
    long[] sequences = {starts.handle()};
    int code =
        LibtorchCuda.aoti_torch_cuda__flash_attention_forward(
            q.handle(),
            k.handle(),
            v.handle(),
            sequences,
            sequences,
            longest,
            longest,
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
    Tensor.check(code, "_flash_attention_forward", q, k, v, starts);
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
   * Differentiates {@link #forward} with the same queries, keys, values, starts and scale.
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
      Tensor starts,
      long longest,
      double scale) {
    long[][] results = new long[3][1];
    int code =
        LibtorchCuda.aoti_torch_cuda__flash_attention_backward(
            gradOutput.handle(),
            q.handle(),
            k.handle(),
            v.handle(),
            forward.output().handle(),
            forward.logSumExp().handle(),
            starts.handle(),
            starts.handle(),
            longest,
            longest,
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
    Tensor.check(code, "_flash_attention_backward", gradOutput, q, k, v, starts);
    return new Gradients(
        Tensor.adopt(results[0][0]), Tensor.adopt(results[1][0]), Tensor.adopt(results[2][0]));
  }
}
