package ai.nibble.tensor;

import java.util.List;

/**
 * Memory-efficient attention of libtorch on CUDA (Rabe and Staats 2021, as CUTLASS kernels). Any
 * dtype, float32 too: its products are then sums of three of TF32, which keeps float32's precision
 * ({@code OpMultiplyAddFastF32}). As many heads of keys and values as of queries, of a multiple of
 * {@value #HEAD_DIM_UNIT} elements each, and every head on 16 bytes: {@code ai.nibble.nn} makes any
 * heads so.
 *
 * <p>Backward takes the keys of a head in one go, not in parts that add to the queries' gradients
 * as they come: so the same call gives the same bits.
 */
public final class EfficientAttention implements FusedAttention {
  /** What D must be a multiple of: 16 bytes of a 2-byte type. */
  public static final int HEAD_DIM_UNIT = 8;

  /** {@code CausalFromTopLeft} of PyTorch's sdp_utils.h. */
  private static final long CAUSAL_FROM_TOP_LEFT = 1;

  /** {@code CausalFromBottomRight}. */
  private static final long CAUSAL_FROM_BOTTOM_RIGHT = 2;

  /** Aside is the log-sum-exp, float32 {@code [sequences, heads, longest rounded up to 32]}. */
  @Override
  public Result forward(
      Tensor q, Tensor k, Tensor v, Sequences queries, Sequences keys, Scores scores) {
    scores.requireNoCap("efficient attention");
    requireHeads(q, k, v);
    long[][] results = new long[4][1];
    try (Tensor batchQ = batch(q);
        Tensor batchK = batch(k);
        Tensor batchV = batch(v)) {
      int code =
          CudaOps.aoti_torch_cuda__efficient_attention_forward(
              batchQ.handle(),
              batchK.handle(),
              batchV.handle(),
              null,
              new long[] {queries.starts().handle()},
              new long[] {keys.starts().handle()},
              new long[] {queries.longest()},
              new long[] {keys.longest()},
              0,
              CAUSAL_FROM_BOTTOM_RIGHT,
              1,
              new double[] {scores.scale()},
              null,
              window(scores),
              results[0],
              results[1],
              results[2],
              results[3],
              new long[1],
              new long[1]);
      Tensor.check(code, "_efficient_attention_forward", q, k, v, queries.starts(), keys.starts());
    }
    // the seed and offset of dropout, which is off
    delete(results[2][0]);
    delete(results[3][0]);
    try (Tensor output = Tensor.adopt(results[0][0])) {
      return new Result(output.view(q.shape()), List.of(Tensor.adopt(results[1][0])));
    }
  }

  @Override
  public Gradients backward(
      Tensor gradOutput,
      Tensor q,
      Tensor k,
      Tensor v,
      Result forward,
      Sequences sequences,
      Scores scores) {
    requireHeads(q, k, v);
    long[][] results = new long[4][1];
    try (Scope scope = new Scope()) {
      // without dropout it is not read, but it must be there
      Tensor noDropout = scope.empty(DType.INT64);
      int code =
          CudaOps.aoti_torch_cuda__efficient_attention_backward(
              scope.own(batch(gradOutput)).handle(),
              scope.own(batch(q)).handle(),
              scope.own(batch(k)).handle(),
              scope.own(batch(v)).handle(),
              null,
              scope.own(batch(forward.output())).handle(),
              new long[] {sequences.starts().handle()},
              new long[] {sequences.starts().handle()},
              sequences.longest(),
              sequences.longest(),
              forward.aside().get(0).handle(),
              0,
              noDropout.handle(),
              noDropout.handle(),
              CAUSAL_FROM_TOP_LEFT,
              0,
              new double[] {scores.scale()},
              new long[] {1},
              window(scores),
              0,
              results[0],
              results[1],
              results[2],
              results[3]);
      Tensor.check(code, "_efficient_attention_backward", gradOutput, q, k, v);
    }
    delete(results[3][0]); // the gradient of a bias, which is none
    return new Gradients(
        unbatched(results[0][0], q), unbatched(results[1][0], k), unbatched(results[2][0], v));
  }

  /** Keys that a query sees, its own among them; null for all. */
  private static long[] window(Scores scores) {
    return scores.window() == 0 ? null : new long[] {scores.window()};
  }

  /** {@code [N, heads, D]} as {@code [1, N, heads, D]}, where it lies. */
  private static Tensor batch(Tensor t) {
    long[] sizes = {1, t.size(0), t.size(1), t.size(2)};
    long[] strides = {t.size(0) * t.stride(0), t.stride(0), t.stride(1), t.stride(2)};
    return t.asStrided(sizes, strides, 0);
  }

  private static Tensor unbatched(long handle, Tensor like) {
    try (Tensor batch = Tensor.adopt(handle)) {
      return batch.view(like.shape());
    }
  }

  private static void delete(long handle) {
    Tensor.check(Libtorch.aoti_torch_delete_tensor_object(handle), "delete_tensor_object");
  }

  private static void requireHeads(Tensor q, Tensor k, Tensor v) {
    for (Tensor t : List.of(q, k, v)) {
      boolean sound =
          t.dim() == 3
              && t.dtype() == q.dtype()
              && t.size(1) == q.size(1)
              && t.size(2) == q.size(2)
              && t.size(2) % HEAD_DIM_UNIT == 0
              && t.stride(0) % HEAD_DIM_UNIT == 0
              && t.stride(1) % HEAD_DIM_UNIT == 0
              && t.stride(2) == 1;
      if (!sound) {
        throw new TensorException(
            "efficient_attention: "
                + List.of(q, k, v)
                + ", expected [N, heads, D] each, of one dtype and as many heads, D and strides"
                + " multiples of "
                + HEAD_DIM_UNIT);
      }
    }
  }
}
