package ai.nibble.tensor;

import java.nio.file.Path;
import java.util.List;

/**
 * What of CUDA this process finds, for people; each problem is a text that is empty where there is
 * none.
 *
 * @param cuda the version of CUDA that the driver serves ({@code 13.0}), empty without a driver
 * @param driverProblem why there is no GPU
 * @param gpus those that the driver shows
 * @param libtorchDevices how many of them libtorch computes on
 * @param libtorchProblem why libtorch computes on none
 * @param nvrtc the compiler's version ({@code NVRTC 12.8}), empty without one
 * @param nvrtcFile where it was loaded from, empty without one
 * @param nvrtcProblem why there is none
 * @param nvrtcMistaken whether the user named one that is none
 * @param kernelCache where compiled kernels are kept
 */
public record CudaReport(
    String cuda,
    String driverProblem,
    List<Gpu> gpus,
    int libtorchDevices,
    String libtorchProblem,
    String nvrtc,
    String nvrtcFile,
    String nvrtcProblem,
    boolean nvrtcMistaken,
    Path kernelCache) {

  /** Looks for everything, and loads what it finds. */
  public static CudaReport of() {
    CudaProcess.Driver driver = CudaProcess.driver();
    NvrtcSearch.Result found = CudaProcess.compiler();
    boolean compiles = found.compiler() != null;
    int devices = 0;
    String problem;
    try {
      devices = Torch.cudaDeviceCount();
      problem = NativeLibraries.cuda().problem();
    } catch (RuntimeException | LinkageError e) {
      problem = "libtorch is not loaded";
    }
    return new CudaReport(
        CudaProcess.versionText(driver.version()),
        driver.problem(),
        driver.gpus(),
        devices,
        problem.isEmpty() && devices == 0 ? "libtorch shows no GPU of the driver's" : problem,
        compiles ? found.compiler().version() : "",
        found.file(),
        found.problem(),
        found.mistaken(),
        KernelCache.userDirectory());
  }

  /**
   * Bytes of a GPU's memory that nobody uses now.
   *
   * @throws TensorException if the driver does not say
   */
  public static long freeBytes(Gpu gpu) {
    return CudaDevices.freeBytes(CudaProcess.driver().api(), gpu.index());
  }
}
