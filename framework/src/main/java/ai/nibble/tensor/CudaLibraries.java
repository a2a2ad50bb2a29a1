package ai.nibble.tensor;

import com.sun.jna.NativeLibrary;
import java.nio.file.Files;
import java.nio.file.Path;
import org.slf4j.LoggerFactory;

/**
 * Loads the CUDA part of libtorch, which makes CUDA known to libtorch's dispatcher: where the
 * library is there and the driver shows a GPU. Otherwise nothing is touched.
 *
 * @param library null if it is not loaded
 * @param problem why it is not loaded, empty otherwise
 */
record CudaLibraries(NativeLibrary library, String problem) {
  /**
   * Loads what a directory has, after {@code libtorch_cpu.so}.
   *
   * @param directory of the libtorch in use
   */
  static CudaLibraries load(Path directory) {
    Path file = directory.resolve("libtorch_cuda.so");
    if (!Files.isRegularFile(file)) {
      return new CudaLibraries(null, "this libtorch is for the CPU: it has no libtorch_cuda.so");
    }
    if (CudaProcess.gpus().isEmpty()) {
      return new CudaLibraries(null, "not loaded, as there is no GPU");
    }
    try {
      // The dependencies are found by the paths in the library itself.
      return new CudaLibraries(NativeLibrary.getInstance(file.toString()), "");
    } catch (UnsatisfiedLinkError e) {
      String problem = file + " cannot be loaded: " + e.getMessage();
      LoggerFactory.getLogger(CudaLibraries.class).warn("no CUDA: {}", problem);
      return new CudaLibraries(null, problem);
    }
  }

  /**
   * The loaded library.
   *
   * @throws TensorException if there is none
   */
  static NativeLibrary libtorchCuda() {
    CudaLibraries cuda = NativeLibraries.cuda();
    if (cuda.library() == null) {
      throw new TensorException("no CUDA: " + cuda.problem());
    }
    return cuda.library();
  }

  /** Devices that libtorch computes on. */
  int deviceCount() {
    if (library == null) {
      return 0;
    }
    // c10::cuda::device_count() gives a signed byte, and 0 after any error.
    int low = library.getFunction("_ZN3c104cuda12device_countEv").invokeInt(null);
    return (byte) low;
  }
}
