package ai.nibble.tensor;

/**
 * cuDNN's fused causal attention by libtorch, for sequences of one length: on Hopper half the time
 * of {@link FlashAttention}. float16 or bfloat16; keys and values may have fewer heads than
 * queries; heads' elements must be adjacent, everything else may be strided. cuDNN makes a plan for
 * every new shape, which takes a moment.
 */
public final class CudnnAttention {
  /** What libtorch returns beside output and log-sum-exp, and wants back as it is. */
  private static final int EXTRAS = 5;

  private CudnnAttention() {}

  /** What forward gives, and backward takes. */
  public static final class Result implements AutoCloseable {
    private final Tensor output;
    private final Tensor logSumExp;
    // the lengths' sums, of which there are none here, and the state of dropout, which is off: some
    // are tensors without a dtype, so they stay handles
    private final long[] extras;
    private final long longestQ;
    private final long longestK;

    private Result(Tensor output, Tensor logSumExp, long[] extras, long longestQ, long longestK) {
      this.output = output;
      this.logSumExp = logSumExp;
      this.extras = extras;
      this.longestQ = longestQ;
      this.longestK = longestK;
    }

    /** {@code [B, heads, S, D]}, strided as the queries were. */
    public Tensor output() {
      return output;
    }

    /** Another owner of the same. */
    public Result share() {
      long[] shared = new long[extras.length];
      for (int i = 0; i < extras.length; i++) {
        long[] handle = new long[1];
        Tensor.check(Libtorch.aoti_torch_new_tensor_handle(extras[i], handle), "new_tensor_handle");
        shared[i] = handle[0];
      }
      return new Result(output.share(), logSumExp.share(), shared, longestQ, longestK);
    }

    @Override
    public void close() {
      output.close();
      logSumExp.close();
      for (long handle : extras) {
        Tensor.check(Libtorch.aoti_torch_delete_tensor_object(handle), "delete_tensor_object");
      }
    }
  }

  /**
   * @param q {@code [B, heads, S, D]}
   * @param k {@code [B, kvHeads, S, D]}
   * @param v {@code [B, kvHeads, S, D]}
   * @return the caller's to close
   */
  public static Result forward(Tensor q, Tensor k, Tensor v, double scale) {
    long[][] results = new long[9][1];
    int code =
        CudaOps.aoti_torch_cuda__scaled_dot_product_cudnn_attention(
            q.handle(),
            k.handle(),
            v.handle(),
            null,
            1,
            0,
            1,
            0,
            new double[] {scale},
            results[0],
            results[1],
            results[2],
            results[3],
            results[4],
            results[5],
            results[6],
            results[7],
            results[8]);
    Tensor.check(code, "_scaled_dot_product_cudnn_attention", q, k, v);
    long[] extras = new long[EXTRAS];
    for (int i = 0; i < EXTRAS; i++) {
      extras[i] = results[i < 2 ? 2 + i : 4 + i][0];
    }
    return new Result(
        Tensor.adopt(results[0][0]),
        Tensor.adopt(results[1][0]),
        extras,
        results[4][0],
        results[5][0]);
  }

  /**
   * Gradients of queries, keys and values.
   *
   * @param dq {@code [B, heads, S, D]}
   * @param dk {@code [B, kvHeads, S, D]}
   * @param dv {@code [B, kvHeads, S, D]}
   */
  public record Gradients(Tensor dq, Tensor dk, Tensor dv) implements AutoCloseable {
    @Override
    public void close() {
      dq.close();
      dk.close();
      dv.close();
    }
  }

  /**
   * Differentiates {@link #forward} with the same queries, keys, values and scale.
   *
   * @param gradOutput {@code [B, heads, S, D]}
   * @return the caller's to close
   */
  public static Gradients backward(
      Tensor gradOutput, Tensor q, Tensor k, Tensor v, Result forward, double scale) {
    long[][] results = new long[3][1];
    long[] none = new long[1];
    Tensor.check(Libtorch.aoti_torch_new_uninitialized_tensor(none), "new_uninitialized_tensor");
    int code =
        CudaOps.aoti_torch_cuda__scaled_dot_product_cudnn_attention_backward(
            gradOutput.handle(),
            q.handle(),
            k.handle(),
            v.handle(),
            forward.output.handle(),
            forward.logSumExp.handle(),
            forward.extras[2],
            forward.extras[3],
            none[0],
            forward.extras[0],
            forward.extras[1],
            forward.longestQ,
            forward.longestK,
            0,
            1,
            new double[] {scale},
            results[0],
            results[1],
            results[2]);
    Tensor.check(Libtorch.aoti_torch_delete_tensor_object(none[0]), "delete_tensor_object");
    Tensor.check(code, "_scaled_dot_product_cudnn_attention_backward", gradOutput, q, k, v);
    return new Gradients(
        Tensor.adopt(results[0][0]), Tensor.adopt(results[1][0]), Tensor.adopt(results[2][0]));
  }
}
