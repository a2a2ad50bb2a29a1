package ai.nibble.tensor;

import java.util.ArrayList;
import java.util.List;

/**
 * cuDNN's fused attention by libtorch, for sequences of one length: on Hopper half the time of
 * {@link FlashAttention}. float16 or bfloat16; keys and values may have fewer heads than queries.
 * cuDNN makes a plan for every new shape, which takes a moment, so it is for few shapes.
 */
public final class CudnnAttention implements FusedAttention {
  /** Lengths that are multiples of it are few. */
  private static final int LENGTHS = 256;

  private static final int HOPPER = 90;
  private static final int HEAD_DIM_UNIT = 8;
  private static final int MAX_HEAD_DIM = 128;

  /** Whether it can compute such heads on a device, and is the faster there. */
  public static boolean takes(Device device, DType dtype, int headDim) {
    return (dtype == DType.BFLOAT16 || dtype == DType.FLOAT16)
        && headDim % HEAD_DIM_UNIT == 0
        && headDim <= MAX_HEAD_DIM
        && Torch.gpu(device).capability() >= HOPPER;
  }

  /**
   * Whether sequences are of one length, and that is one of few. This looks at nothing that was
   * before: a run that goes on from a checkpoint computes as if it had never stopped.
   *
   * @param starts first token of each sequence, then their sum
   */
  public static boolean takes(int[] starts) {
    int length = starts[1];
    for (int s = 0; s + 1 < starts.length; s++) {
      if (starts[s + 1] - starts[s] != length) {
        return false;
      }
    }
    return length % LENGTHS == 0;
  }

  /**
   * Queries and keys have the same sequences, and there is no window. Aside are the log-sum-exp,
   * float32, and the state of dropout, which is off, where there is one.
   */
  @Override
  public Result forward(
      Tensor q, Tensor k, Tensor v, Sequences queries, Sequences keys, Scores scores) {
    scores.requireNoCap("cudnn attention");
    if (scores.window() != 0) {
      throw new TensorException("cudnn attention: a window of " + scores.window() + " keys");
    }
    long[][] results = new long[9][1];
    try (Scope scope = new Scope()) {
      int code =
          CudaOps.aoti_torch_cuda__scaled_dot_product_cudnn_attention(
              scope.own(headMajor(q, queries)).handle(),
              scope.own(headMajor(k, queries)).handle(),
              scope.own(headMajor(v, queries)).handle(),
              null,
              1,
              0,
              1,
              0,
              new double[] {scores.scale()},
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
      // sums of lengths, of which there are none, and a debug mask, which is empty
      for (int i : new int[] {2, 3, 8}) {
        delete(results[i][0]);
      }
      List<Tensor> aside = new ArrayList<>(List.of(Tensor.adopt(results[1][0])));
      for (int i : new int[] {6, 7}) {
        Tensor state = Tensor.adoptDefined(results[i][0]);
        if (state != null) {
          aside.add(state);
        }
      }
      return new Result(tokenMajor(scope.own(Tensor.adopt(results[0][0]))), aside);
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
    long[][] results = new long[3][1];
    long[] none = new long[1];
    Tensor.check(Libtorch.aoti_torch_new_uninitialized_tensor(none), "new_uninitialized_tensor");
    List<Tensor> aside = forward.aside();
    boolean state = aside.size() > 2;
    try (Scope scope = new Scope()) {
      Tensor dO = scope.own(headMajor(gradOutput, sequences));
      Tensor queries = scope.own(headMajor(q, sequences));
      Tensor keys = scope.own(headMajor(k, sequences));
      Tensor values = scope.own(headMajor(v, sequences));
      Tensor output = scope.own(headMajor(forward.output(), sequences));
      // 5 % slower on an H200, and the same bits every time
      int code =
          Determinism.during(
              () ->
                  CudaOps.aoti_torch_cuda__scaled_dot_product_cudnn_attention_backward(
                      dO.handle(),
                      queries.handle(),
                      keys.handle(),
                      values.handle(),
                      output.handle(),
                      aside.get(0).handle(),
                      state ? aside.get(1).handle() : none[0],
                      state ? aside.get(2).handle() : none[0],
                      none[0],
                      none[0],
                      none[0],
                      sequences.longest(),
                      sequences.longest(),
                      0,
                      1,
                      new double[] {scores.scale()},
                      results[0],
                      results[1],
                      results[2]));
      Tensor.check(code, "_scaled_dot_product_cudnn_attention_backward", gradOutput, q, k, v);
      return new Gradients(
          tokenMajor(scope.own(Tensor.adopt(results[0][0]))),
          tokenMajor(scope.own(Tensor.adopt(results[1][0]))),
          tokenMajor(scope.own(Tensor.adopt(results[2][0]))));
    } finally {
      delete(none[0]);
    }
  }

  private static void delete(long handle) {
    Tensor.check(Libtorch.aoti_torch_delete_tensor_object(handle), "delete_tensor_object");
  }

  /** {@code [N, heads, D]} as {@code [B, heads, S, D]}, where it lies. */
  private static Tensor headMajor(Tensor tokens, Sequences sequences) {
    long length = sequences.longest();
    long[] sizes = {tokens.size(0) / length, tokens.size(1), length, tokens.size(2)};
    long row = tokens.stride(0);
    return tokens.asStrided(sizes, new long[] {length * row, tokens.stride(1), row, 1}, 0);
  }

  /** {@code [B, heads, S, D]} as {@code [N, heads, D]}: as it lies, or copied. */
  private static Tensor tokenMajor(Tensor heads) {
    try (Tensor swapped = heads.transpose(1, 2);
        Tensor dense = swapped.isContiguous() ? swapped.share() : swapped.to(swapped.dtype())) {
      return dense.view(heads.size(0) * heads.size(2), heads.size(1), heads.size(3));
    }
  }
}
