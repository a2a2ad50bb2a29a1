package ai.nibble.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.Machine;
import ai.nibble.tensor.CudaReport;
import ai.nibble.tensor.Gpu;
import ai.nibble.tensor.TensorException;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What {@code nibble doctor} concludes from what it finds. */
class CheckupTest {
  private static final Machine PLAIN =
      new Machine("Debian", "A CPU", Set.of("avx2", "sse"), 16L << 30, 8L << 30, false, "");
  private static final Machine WITH_GPU =
      new Machine("Debian", "A CPU", Set.of(), 16L << 30, 8L << 30, true, "570.124.06");
  private static final Engine ENGINE = new Engine("2.7.1", Path.of("/torch/lib"), true, 4, "");
  private static final Engine NO_ENGINE = new Engine("", null, false, 0, "it is not there");
  private static final Gpu H100 = new Gpu(0, "NVIDIA H100", 90, 132, 80L << 30);
  private static final String NO_DRIVER = "no NVIDIA driver: libcuda.so.1 was not found";

  @TempDir private Path temporary;

  private CudaReport withoutGpu() {
    return new CudaReport(
        "", NO_DRIVER, List.of(), 0, "for the CPU", "", "", "no NVRTC", false, temporary);
  }

  private CudaReport withGpu(int libtorchDevices, String libtorchProblem, String nvrtc) {
    String nvrtcProblem = nvrtc.isEmpty() ? "no NVRTC (libnvrtc.so) was found" : "";
    return new CudaReport(
        "12.8",
        "",
        List.of(H100),
        libtorchDevices,
        libtorchProblem,
        nvrtc,
        nvrtc.isEmpty() ? "" : "/lib/libnvrtc.so.12",
        nvrtcProblem,
        false,
        temporary.resolve("to/be/made"));
  }

  private static String only(Checkup checkup) {
    assertEquals(1, checkup.missing().size(), "" + checkup.missing());
    return checkup.missing().get(0).what();
  }

  private static String text(Checkup checkup) {
    StringWriter text = new StringWriter();
    try (PrintWriter out = new PrintWriter(text)) {
      new CheckupText(checkup, gpu -> 70L << 30, Long.MAX_VALUE).print(out);
    }
    return text.toString();
  }

  @Test
  void aMachineWithoutAGpuMissesNothing() {
    Checkup checkup = new Checkup(PLAIN, ENGINE, withoutGpu(), List.of());
    assertEquals(List.of(), checkup.missing());
    assertTrue(checkup.canTrain());
    assertTrue(text(checkup).endsWith("training can run on the CPU" + System.lineSeparator()));
  }

  @Test
  void withoutLibtorchNothingCanBeTrained() {
    Checkup checkup = new Checkup(PLAIN, NO_ENGINE, withoutGpu(), List.of());
    assertEquals("libtorch: it is not there", only(checkup));
    assertFalse(checkup.canTrain());
    assertTrue(text(checkup).endsWith("training cannot run" + System.lineSeparator()));
  }

  @Test
  void aGpuWithoutADriverIsMissed() {
    Checkup checkup = new Checkup(WITH_GPU, ENGINE, withoutGpu(), List.of());
    assertEquals(
        "an NVIDIA GPU is in this machine, but not for this process: " + NO_DRIVER, only(checkup));
    assertTrue(checkup.missing().get(0).remedy().contains("--gpus all"));
    assertTrue(checkup.canTrain(), "the CPU is there");
  }

  @Test
  void aLibtorchForTheCpuOnAMachineWithAGpuIsMissed() {
    CudaReport cuda = withGpu(0, "it has no libtorch_cuda.so", "NVRTC 12.8");
    Checkup checkup = new Checkup(WITH_GPU, ENGINE, cuda, List.of());
    assertEquals("libtorch does not use the GPU: it has no libtorch_cuda.so", only(checkup));
    assertTrue(
        checkup
            .missing()
            .get(0)
            .remedy()
            .startsWith("NIBBLE_LIBTORCH=DIR of a PyTorch for CUDA 12.8"));
  }

  @Test
  void kernelsThatCannotBeCompiledOrRunAreMissed() {
    Checkup none = new Checkup(WITH_GPU, ENGINE, withGpu(1, "", ""), List.of());
    assertEquals(
        "no CUDA kernels, so training is slower: no NVRTC (libnvrtc.so) was found", only(none));
    Checkup composed = new Checkup(WITH_GPU, ENGINE, withGpu(1, "", ""), List.of(""));
    assertTrue(text(composed).contains("kernels           run, composed of libtorch's operations"));
    assertTrue(text(composed).contains("training can run on the GPU and the CPU"));
    CudaReport cuda = withGpu(1, "", "NVRTC 12.8");
    Checkup failing = new Checkup(WITH_GPU, ENGINE, cuda, List.of("cuModuleLoadData: why"));
    assertEquals("kernels do not run: cuModuleLoadData: why", only(failing));
    Checkup whole = new Checkup(WITH_GPU, ENGINE, cuda, List.of(""));
    assertEquals(List.of(), whole.missing());
    assertTrue(text(whole).contains("training can run on the GPU and the CPU"));
  }

  @Test
  void aCompilerThatWasNamedWronglyIsToldOnAnyMachine() {
    CudaReport cuda =
        new CudaReport(
            "", NO_DRIVER, List.of(), 0, "", "", "", "NIBBLE_NVRTC is 'x'", true, temporary);
    assertEquals("NIBBLE_NVRTC is 'x'", only(new Checkup(PLAIN, ENGINE, cuda, List.of())));
  }

  @Test
  void aKernelCacheThatCannotBeMadeIsMissed() throws IOException {
    Path file = Files.writeString(temporary.resolve("file"), "");
    CudaReport cuda =
        new CudaReport(
            "12.8", "", List.of(H100), 1, "", "NVRTC 12.8", "/l", "", false, file.resolve("k"));
    Checkup checkup = new Checkup(WITH_GPU, ENGINE, cuda, List.of(""));
    assertEquals("compiled kernels cannot be kept in " + file.resolve("k"), only(checkup));
  }

  @Test
  void linesAreAlignedAndSizesReadable() {
    CudaReport cuda = withGpu(1, "", "NVRTC 12.8");
    String text = text(new Checkup(WITH_GPU, ENGINE, cuda, List.of("")));
    String expected =
        """
        gpu 0
          name              NVIDIA H100
          capability        9.0
          multiprocessors   132
          memory            80.0 GiB
          free              70.0 GiB
          kernels           run
        """;
    assertTrue(text.replace(System.lineSeparator(), "\n").contains(expected), text);
    assertTrue(text.contains("  driver            570.124.06"), text);
    assertTrue(text.contains("  driver cuda       12.8"), text);
    assertTrue(text.contains("  threads           4"), text);
  }

  @Test
  void freeMemoryThatTheDriverDoesNotTellIsUnknown() {
    Checkup checkup = new Checkup(WITH_GPU, ENGINE, withGpu(1, "", "NVRTC 12.8"), List.of(""));
    CheckupText text =
        new CheckupText(
            checkup,
            gpu -> {
              throw new TensorException("cuMemGetInfo: why");
            },
            Long.MAX_VALUE);
    assertEquals("unknown: cuMemGetInfo: why", text.sections().get("gpu_0").get("free"));
  }

  @Test
  void theObjectForProgramsHasTheSameInNumbers() {
    CudaReport cuda = withGpu(0, "why", "");
    Map<String, Object> json =
        new CheckupText(new Checkup(WITH_GPU, ENGINE, cuda, List.of()), gpu -> 70L << 30, 4L << 30)
            .json();
    assertEquals(
        List.of("system", "libtorch", "cuda", "gpu_0", "missing", "can_train"),
        List.copyOf(json.keySet()));
    assertEquals(true, json.get("can_train"));
    assertEquals(16L << 30, ((Map<?, ?>) json.get("system")).get("memory_bytes"));
    assertEquals(4L << 30, ((Map<?, ?>) json.get("system")).get("container_leaves_bytes"));
    assertEquals("why", ((Map<?, ?>) json.get("libtorch")).get("no_gpu_because"));
    Map<?, ?> first = (Map<?, ?>) ((List<?>) json.get("missing")).get(0);
    assertEquals(Set.of("what", "remedy", "blocks"), first.keySet());
    assertEquals(false, first.get("blocks"));
  }

  @Test
  void theMachineIsReadFromLinuxsFiles() throws IOException {
    write("etc/os-release", "NAME=\"Debian\"\nPRETTY_NAME=\"Debian GNU/Linux 12\"\n");
    write("proc/cpuinfo", "processor : 0\nmodel name\t: Xeon\nflags\t\t: sse avx2 amx_bf16\n");
    write("proc/meminfo", "MemTotal:       16384 kB\nMemAvailable:    8192 kB\n");
    write("proc/driver/nvidia/version", "NVRM version: NVIDIA UNIX x86_64  570.124.06  date\n");
    write("sys/bus/pci/devices/0000:01:00.0/vendor", "0x10de\n");
    write("sys/bus/pci/devices/0000:01:00.0/class", "0x030200\n");
    assertEquals(
        new Machine(
            "Debian GNU/Linux 12",
            "Xeon",
            Set.of("sse", "avx2", "amx_bf16"),
            16L << 20,
            8L << 20,
            true,
            "570.124.06"),
        Machine.read(temporary));
  }

  @Test
  void aSystemWithoutTheseFilesIsUnknown() {
    assertEquals(new Machine("", "", Set.of(""), 0, 0, false, ""), Machine.read(temporary));
  }

  @Test
  void aSoundCardOfNvidiaIsNoGpu() throws IOException {
    write("sys/bus/pci/devices/0000:01:00.1/vendor", "0x10de\n");
    write("sys/bus/pci/devices/0000:01:00.1/class", "0x040300\n");
    assertFalse(Machine.read(temporary).hasNvidiaGpu());
  }

  private void write(String path, String text) throws IOException {
    Path file = temporary.resolve(path);
    Files.createDirectories(file.getParent());
    Files.writeString(file, text);
  }
}
