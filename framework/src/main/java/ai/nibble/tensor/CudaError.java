package ai.nibble.tensor;

import com.sun.jna.Pointer;

/** The driver's error codes in words. */
final class CudaError {
  private static final int FIRST_OF_RUNNING_KERNELS = 700;
  private static final int LAST_OF_RUNNING_KERNELS = 720;

  private CudaError() {}

  /** {@code CUDA_ERROR_INVALID_VALUE (invalid argument)}, and a hint where it may mislead. */
  static String describe(CudaApi api, int code) {
    long[] text = new long[1];
    String name =
        api.cuGetErrorName(code, text) == 0 && text[0] != 0
            ? new Pointer(text[0]).getString(0)
            : "CUDA error " + code;
    boolean hasReason = api.cuGetErrorString(code, text) == 0 && text[0] != 0;
    String reason = hasReason ? " (" + new Pointer(text[0]).getString(0) + ")" : "";
    boolean late = code >= FIRST_OF_RUNNING_KERNELS && code < LAST_OF_RUNNING_KERNELS;
    return name
        + reason
        + (late ? "; it may be an earlier kernel's: CUDA_LAUNCH_BLOCKING=1 shows whose" : "");
  }

  /**
   * Turns a code other than 0 into an exception.
   *
   * @param call name of the function of the driver
   */
  static void check(CudaApi api, int code, String call) {
    if (code != 0) {
      throw new TensorException(call + ": " + describe(api, code));
    }
  }
}
