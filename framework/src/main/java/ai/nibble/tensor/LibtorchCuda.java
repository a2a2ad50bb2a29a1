package ai.nibble.tensor;

import com.sun.jna.Native;

/**
 * The part of libtorch's stable C ABI that {@code libtorch_cuda.so} exports. Touched only where
 * {@link CudaLibraries} has loaded it: an installation for the CPU has no such library.
 */
final class LibtorchCuda {
  static {
    Native.register(LibtorchCuda.class, CudaLibraries.libtorchCuda());
  }

  private LibtorchCuda() {}

  /** Writes the {@code cudaStream_t} that libtorch uses in the calling thread. */
  static native int aoti_torch_get_current_cuda_stream(int device, long streamAddress);
}
