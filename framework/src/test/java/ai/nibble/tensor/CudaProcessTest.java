package ai.nibble.tensor;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

class CudaProcessTest {
  private final RecordingCuda cuda = new RecordingCuda();

  @Test
  void theDriverIsInitialisedAndItsGpusAreListed() {
    CudaProcess.Driver driver = CudaProcess.Driver.start(cuda);
    assertEquals("", driver.problem());
    assertEquals("12.8", CudaProcess.versionText(driver.version()));
    assertEquals(List.of("cuInit(0)"), cuda.calls);
    assertEquals(2, driver.gpus().size());
    assertEquals(new Gpu(1, "GPU 101", 90, 132, 80L << 30), driver.gpus().get(1));
    cuda.capability = 121;
    assertEquals("12.1", CudaProcess.Driver.start(cuda).gpus().get(0).capabilityText());
  }

  @Test
  void aDriverThatCannotBeInitialisedShowsNoGpu() {
    cuda.failing.put("cuInit", 100);
    CudaProcess.Driver driver = CudaProcess.Driver.start(cuda);
    assertEquals("cuInit: CUDA_ERROR_100 (reason 100)", driver.problem());
    assertTrue(driver.gpus().isEmpty());
  }

  @Test
  void withoutACompilerKernelsAreComposedAndALineSaysSo() {
    List<String> lines = new ArrayList<>();
    NvrtcSearch.Result none = NvrtcSearch.find("none", null, 0);
    assertInstanceOf(ComposedLauncher.class, CudaProcess.launcher(cuda, none, lines::add));
    assertEquals(
        List.of(
            "no CUDA kernels: each is composed of libtorch's operations, which is slower"
                + " (NIBBLE_NVRTC is 'none': unset it to look for one); 'nibble doctor' says how to"
                + " get NVRTC"),
        lines);
    NvrtcSearch.Result mistaken = NvrtcSearch.find("/nowhere", null, 0);
    assertNull(CudaProcess.launcher(cuda, mistaken, lines::add), "the caller names the mistake");
    assertEquals(1, lines.size());
  }

  @Test
  void withoutADriverTheProblemSaysSo() {
    CudaProcess.Driver driver = CudaProcess.Driver.start(null);
    assertEquals("no NVIDIA driver: libcuda.so.1 was not found", driver.problem());
    assertEquals("", CudaProcess.versionText(driver.version()));
  }

  @Test
  void freeMemoryIsAskedInTheDevicesContextAndBothAreGivenBack() {
    cuda.current = 0xABC;
    assertEquals(70L << 30, CudaDevices.freeBytes(cuda, 1));
    assertEquals(
        List.of(
            "cuDevicePrimaryCtxRetain(101)",
            "cuCtxSetCurrent(c065)",
            "cuMemGetInfo(context c065)",
            "cuCtxSetCurrent(abc)",
            "cuDevicePrimaryCtxRelease(101)"),
        cuda.calls);
  }
}
