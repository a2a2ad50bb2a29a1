package ai.nibble.tensor;

import ai.nibble.InvalidInputException;
import java.nio.file.Path;
import java.util.List;
import java.util.function.Consumer;
import org.slf4j.LoggerFactory;

/** CUDA as this process has it, each part looked for once, when it is first needed. */
final class CudaProcess {
  private static final int THOUSAND = 1000;
  private static final int TEN = 10;

  private CudaProcess() {}

  /** The driver and its devices; the GPUs are none if there is a problem. */
  record Driver(CudaApi api, int version, List<Gpu> gpus, String problem) {
    static Driver start(CudaApi api) {
      if (api == null) {
        return new Driver(null, 0, List.of(), "no NVIDIA driver: libcuda.so.1 was not found");
      }
      int[] version = new int[1];
      try {
        CudaError.check(api, api.cuDriverGetVersion(version), "cuDriverGetVersion");
        CudaError.check(api, api.cuInit(0), "cuInit");
        return new Driver(api, version[0], CudaDevices.list(api), "");
      } catch (TensorException e) {
        return new Driver(api, version[0], List.of(), e.getMessage());
      }
    }
  }

  private static final class DriverHolder {
    static final Driver DRIVER = Driver.start(Libcuda.find());
  }

  private static final class CompilerHolder {
    static final NvrtcSearch.Result FOUND =
        NvrtcSearch.find(NvrtcSearch.named(), libtorch(), driver().version() / THOUSAND);

    /** Null if libtorch cannot be loaded: what uses it says why. */
    private static Path libtorch() {
      try {
        return NativeLibraries.directory();
      } catch (RuntimeException | LinkageError e) {
        return null;
      }
    }
  }

  private static final class LauncherHolder {
    /** Null if there is none. */
    static final KernelLauncher LAUNCHER = launcher();

    private static KernelLauncher launcher() {
      return NativeLibraries.cuda().deviceCount() == 0
          ? null
          : CudaProcess.launcher(
              driver().api(), compiler(), LoggerFactory.getLogger(CudaProcess.class)::warn);
    }
  }

  /**
   * A launcher of CUDA devices: null if the user named a compiler that is none, and composed of
   * libtorch's operations where there is none.
   *
   * @param warnings takes a line for each thing that goes slower than it could
   */
  static KernelLauncher launcher(CudaApi api, NvrtcSearch.Result found, Consumer<String> warnings) {
    if (found.mistaken()) {
      return null;
    }
    if (found.compiler() == null) {
      warnings.accept(
          "no CUDA kernels: each is composed of libtorch's operations, which is slower ("
              + found.problem()
              + "); 'nibble doctor' says how to get NVRTC");
      return new ComposedLauncher();
    }
    return new CudaDriver(
        api,
        LibtorchCuda::aoti_torch_get_current_cuda_stream,
        new KernelCache(found.compiler(), KernelCache.userDirectory(), warnings));
  }

  /** Unified memory of CUDA devices. */
  static Pages.Unified unified() {
    return new CudaUnified(driver().api(), LibtorchCuda::aoti_torch_get_current_cuda_stream);
  }

  /** {@code 13.0} of 13000; empty for 0. */
  static String versionText(int version) {
    return version == 0 ? "" : version / THOUSAND + "." + version % THOUSAND / TEN;
  }

  static Driver driver() {
    return DriverHolder.DRIVER;
  }

  static List<Gpu> gpus() {
    return driver().gpus();
  }

  static NvrtcSearch.Result compiler() {
    return CompilerHolder.FOUND;
  }

  /**
   * The launcher of CUDA devices, null if libtorch computes on none; without a compiler one that
   * composes kernels of libtorch's operations.
   *
   * @throws InvalidInputException if the user named an NVRTC that is none
   */
  static KernelLauncher launcher() {
    KernelLauncher launcher = LauncherHolder.LAUNCHER;
    if (launcher == null && NativeLibraries.cuda().library() != null && compiler().mistaken()) {
      throw new InvalidInputException(compiler().problem());
    }
    return launcher;
  }
}
