package ai.nibble.tensor;

import java.util.List;

/**
 * FlashAttention-2 of libtorch on CUDA (Dao 2023). float16 or bfloat16; keys and values may have
 * fewer heads than queries.
 */
public final class FlashAttention implements FusedAttention {
  private static final int AMPERE = 80;
  private static final int HEAD_DIM_UNIT = 8;
  private static final int MAX_HEAD_DIM = 256;

  /** Whether it can compute such heads on a device, forward and backward. */
  public static boolean takes(Device device, DType dtype, int headDim) {
    return !device.isCpu() && takes(Torch.gpu(device).capability(), dtype, headDim);
  }

  /**
   * Gives no backward for heads above 192 to 224 on the smaller chips of a generation, whose
   * multiprocessors have less shared memory ({@code
   * check_requires_grad_and_head_dim_gt192_constraints_on_sm86_89} in PyTorch's sdp_utils.cpp).
   *
   * @param capability 10 major + minor
   */
  static boolean takes(int capability, DType dtype, int headDim) {
    boolean small = (capability > AMPERE && capability < 90) || capability >= 120;
    return (dtype == DType.BFLOAT16 || dtype == DType.FLOAT16)
        && capability >= AMPERE
        && headDim % HEAD_DIM_UNIT == 0
        && headDim <= MAX_HEAD_DIM
        && !(small && headDim > 192 && headDim <= 224);
  }

  /** Aside are the log-sum-exp, float32, and the state of dropout, which is off. */
  @Override
  public Result forward(
      Tensor q, Tensor k, Tensor v, Sequences queries, Sequences keys, Scores scores) {
    scores.requireNoCap("flash attention");
    long[][] results = new long[5][1];
    int code =
        CudaOps.aoti_torch_cuda__flash_attention_forward(
            q.handle(),
            k.handle(),
            v.handle(),
            new long[] {queries.starts().handle()},
            new long[] {keys.starts().handle()},
            queries.longest(),
            keys.longest(),
            0,
            1,
            0,
            new double[] {scores.scale()},
            left(scores),
            right(scores),
            null,
            null,
            results[0],
            results[1],
            results[2],
            results[3],
            results[4]);
    Tensor.check(code, "_flash_attention_forward", q, k, v, queries.starts(), keys.starts());
    // the debug mask is empty
    Tensor.check(Libtorch.aoti_torch_delete_tensor_object(results[4][0]), "delete_tensor_object");
    return new Result(
        Tensor.adopt(results[0][0]),
        List.of(
            Tensor.adopt(results[1][0]), Tensor.adopt(results[2][0]), Tensor.adopt(results[3][0])));
  }

  /** Keys before a query's own that it sees; null for all. */
  private static long[] left(Scores scores) {
    return scores.window() == 0 ? null : new long[] {scores.window() - 1L};
  }

  /** Keys behind a query's own that it sees: none, which goes without saying without a window. */
  private static long[] right(Scores scores) {
    return scores.window() == 0 ? null : new long[] {0};
  }

  /**
   * Parts of the queries' gradients are added in order, so that the same call gives the same bits.
   */
  @Override
  public Gradients backward(
      Tensor gradOutput,
      Tensor q,
      Tensor k,
      Tensor v,
      Result forward,
      Sequences sequences,
      Scores scores) {
    long[][] results = new long[3][1];
    int code =
        Determinism.during(
            () ->
                CudaOps.aoti_torch_cuda__flash_attention_backward(
                    gradOutput.handle(),
                    q.handle(),
                    k.handle(),
                    v.handle(),
                    forward.output().handle(),
                    forward.aside().get(0).handle(),
                    sequences.starts().handle(),
                    sequences.starts().handle(),
                    sequences.longest(),
                    sequences.longest(),
                    0,
                    1,
                    forward.aside().get(1).handle(),
                    forward.aside().get(2).handle(),
                    new double[] {scores.scale()},
                    left(scores),
                    right(scores),
                    results[0],
                    results[1],
                    results[2]));
    Tensor.check(code, "_flash_attention_backward", gradOutput, q, k, v);
    return new Gradients(
        Tensor.adopt(results[0][0]), Tensor.adopt(results[1][0]), Tensor.adopt(results[2][0]));
  }
}
