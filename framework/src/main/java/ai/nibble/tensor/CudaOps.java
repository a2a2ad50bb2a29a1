package ai.nibble.tensor;

import com.sun.jna.Native;

/**
 * Operators of libtorch's stable C ABI on CUDA, as {@link Libtorch} has those of the CPU. A pointer
 * to a handle is an optional tensor; null leaves it out, as it does with numbers.
 */
final class CudaOps {
  static {
    Native.register(CudaOps.class, CudaLibraries.libtorchCuda());
  }

  private CudaOps() {}

  static native int aoti_torch_cuda_mm_out(long out, long a, long b);

  static native int aoti_torch_cuda_addmm_out(
      long out, long self, long a, long b, double beta, double alpha);

  static native int aoti_torch_cuda_bmm_out(long out, long a, long b);

  static native int aoti_torch_cuda_baddbmm_out(
      long out, long self, long a, long b, double beta, double alpha);

  static native int aoti_torch_cuda_add_Tensor(long a, long b, double alpha, long[] result);

  static native int aoti_torch_cuda__scaled_dot_product_cudnn_attention(
      long query,
      long key,
      long value,
      long[] bias,
      int computeLogSumExp,
      double dropout,
      int causal,
      int returnDebugMask,
      double[] scale,
      long[] output,
      long[] logSumExp,
      long[] cumSeqQ,
      long[] cumSeqK,
      long[] maxQ,
      long[] maxK,
      long[] philoxSeed,
      long[] philoxOffset,
      long[] debugMask);

  static native int aoti_torch_cuda__scaled_dot_product_cudnn_attention_backward(
      long gradOutput,
      long query,
      long key,
      long value,
      long output,
      long logSumExp,
      long philoxSeed,
      long philoxOffset,
      long bias,
      long cumSeqQ,
      long cumSeqK,
      long maxQ,
      long maxK,
      double dropout,
      int causal,
      double[] scale,
      long[] gradQuery,
      long[] gradKey,
      long[] gradValue);

  static native int aoti_torch_cuda__flash_attention_forward(
      long query,
      long key,
      long value,
      long[] cumSeqQ,
      long[] cumSeqK,
      long maxQ,
      long maxK,
      double dropout,
      int causal,
      int returnDebugMask,
      double[] scale,
      long[] windowLeft,
      long[] windowRight,
      long[] sequenceUsedK,
      long[] alibiSlopes,
      long[] output,
      long[] logSumExp,
      long[] rngState,
      long[] unused,
      long[] debugMask);

  static native int aoti_torch_cuda__flash_attention_backward(
      long gradOutput,
      long query,
      long key,
      long value,
      long output,
      long logSumExp,
      long cumSeqQ,
      long cumSeqK,
      long maxQ,
      long maxK,
      double dropout,
      int causal,
      long rngState,
      long unused,
      double[] scale,
      long[] windowLeft,
      long[] windowRight,
      long[] gradQuery,
      long[] gradKey,
      long[] gradValue);

  static native int aoti_torch_cuda__efficient_attention_forward(
      long query,
      long key,
      long value,
      long[] bias,
      long[] cumSeqQ,
      long[] cumSeqK,
      long[] maxQ,
      long[] maxK,
      double dropout,
      long customMaskType,
      int computeLogSumExp,
      double[] scale,
      long[] sequenceLengthK,
      long[] windowSize,
      long[] output,
      long[] logSumExp,
      long[] seed,
      long[] offset,
      long[] maxQUsed,
      long[] maxKUsed);

  static native int aoti_torch_cuda__efficient_attention_backward(
      long gradOutput,
      long query,
      long key,
      long value,
      long[] bias,
      long output,
      long[] cumSeqQ,
      long[] cumSeqK,
      long maxQ,
      long maxK,
      long logSumExp,
      double dropout,
      long seed,
      long offset,
      long customMaskType,
      int biasRequiresGrad,
      double[] scale,
      long[] splitsOfKeys,
      long[] windowSize,
      int sharedStorage,
      long[] gradQuery,
      long[] gradKey,
      long[] gradValue,
      long[] gradBias);
}
