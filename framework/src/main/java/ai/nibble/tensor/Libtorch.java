package ai.nibble.tensor;

import com.sun.jna.Native;

/**
 * libtorch's stable C ABI ({@code torch/csrc/inductor/aoti_torch/c/shim.h}), exported alike by 2.7
 * and later. Every function that returns {@code int} returns 0 on success; on failure libtorch has
 * printed its reason to standard error. Handles are {@code at::Tensor*}, owned by whoever got them.
 */
final class Libtorch {
  static {
    Native.register(Libtorch.class, NativeLibraries.libtorch());
  }

  private Libtorch() {}

  static native int aoti_torch_empty_strided(
      long ndim,
      long[] sizes,
      long[] strides,
      int dtype,
      int deviceType,
      int deviceIndex,
      long[] result);

  /** A tensor over memory that stays the caller's. */
  static native int aoti_torch_create_tensor_from_blob_v2(
      long data,
      long ndim,
      long[] sizes,
      long[] strides,
      long storageOffset,
      int dtype,
      int deviceType,
      int deviceIndex,
      long[] result,
      int layout,
      long opaqueMetadata,
      long opaqueMetadataSize);

  static native int aoti_torch_layout_strided();

  static native int aoti_torch_delete_tensor_object(long tensor);

  static native int aoti_torch_new_tensor_handle(long tensor, long[] result);

  /** A handle of a tensor that has nothing, not even a dtype: an optional one left out. */
  static native int aoti_torch_new_uninitialized_tensor(long[] result);

  static native int aoti_torch_get_data_ptr(long tensor, long[] result);

  /** Likewise, into native memory: nothing is copied. */
  static native int aoti_torch_get_data_ptr(long tensor, long resultAddress);

  static native int aoti_torch_get_dim(long tensor, long[] result);

  static native int aoti_torch_get_size(long tensor, long dim, long[] result);

  static native int aoti_torch_get_stride(long tensor, long dim, long[] result);

  static native int aoti_torch_get_dtype(long tensor, int[] result);

  static native int aoti_torch_get_device_type(long tensor, int[] result);

  static native int aoti_torch_get_device_index(long tensor, int[] result);

  /** The offset is added to the tensor's own, in elements. */
  static native int aoti_torch__reinterpret_tensor(
      long tensor, long ndim, long[] sizes, long[] strides, long offsetIncrement, long[] result);

  static native int aoti_torch_copy_(long destination, long source, int nonBlocking);

  static native int aoti_torch_zero_(long tensor);

  static native int aoti_torch_cpu_mm_out(long out, long a, long b);

  static native int aoti_torch_cpu_addmm_out(
      long out, long self, long a, long b, double beta, double alpha);

  static native int aoti_torch_cpu_bmm_out(long out, long a, long b);

  static native int aoti_torch_cpu_baddbmm_out(
      long out, long self, long a, long b, double beta, double alpha);

  static native int aoti_torch_cpu__int_mm_out(long out, long a, long b);

  static native int aoti_torch_cpu_add_Tensor(long a, long b, double alpha, long[] result);

  /**
   * Calls any aten operator. The stack has one 8-byte slot an argument, then the results replace
   * them from slot 0 on; handles passed in are consumed, handles returned are the caller's.
   */
  static native int aoti_torch_call_dispatcher(String op, String overload, long[] stack);

  static native int aoti_torch_grad_mode_is_enabled();

  static native void aoti_torch_grad_mode_set_enabled(int enabled);

  static native long aoti_torch_abi_version();
}
