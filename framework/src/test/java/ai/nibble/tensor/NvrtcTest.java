package ai.nibble.tensor;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import ai.nibble.cuda.Programs;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The real compiler, which needs no GPU; skipped where it is not installed. */
class NvrtcTest {
  private static final CudaProgram AXPY = CudaProgram.of(NvrtcTest.class, "axpy.cu");

  @TempDir private Path temporary;

  private static Nvrtc nvrtc() {
    return installed().compiler();
  }

  private static NvrtcSearch.Result installed() {
    NvrtcSearch.Result found =
        NvrtcSearch.find(NvrtcSearch.named(), NativeLibraries.directory(), 0);
    assertFalse(found.mistaken(), found.problem());
    assumeTrue(
        found.compiler() != null,
        () ->
            "skipped: "
                + found.problem()
                + "; pip download nvidia-cuda-nvrtc-cu12, unzip it, and name its"
                + " nvidia/cuda_nvrtc/lib by NIBBLE_NVRTC");
    return found;
  }

  private static void requireImage(byte[] image, String target) {
    String begin = new String(image, 0, 4, StandardCharsets.ISO_8859_1);
    if (target.startsWith("sm_")) {
      assertEquals("\u007fELF", begin);
    } else {
      String text = new String(image, StandardCharsets.ISO_8859_1);
      assertTrue(text.contains(".target " + target.replace("compute_", "sm_")), text);
      assertEquals(0, image[image.length - 1], "PTX ends with a zero byte");
    }
  }

  @ParameterizedTest
  @ValueSource(ints = {75, 80, 86, 89, 90, 100, 120})
  void everyProgramCompilesForEachGeneration(int capability) {
    Nvrtc nvrtc = nvrtc();
    List<CudaProgram> programs = Programs.all();
    assertFalse(programs.isEmpty());
    for (CudaProgram program : programs) {
      String target = nvrtc.target(capability);
      requireImage(nvrtc.compile(program, target), target);
    }
  }

  @Test
  void aGpuThatIsNewerThanTheCompilerGetsPtx() {
    Nvrtc nvrtc = nvrtc();
    String target = nvrtc.target(990);
    assertTrue(target.startsWith("compute_"), target);
    requireImage(nvrtc.compile(AXPY, target), target);
  }

  @Test
  void aGpuThatIsOlderThanTheCompilerKnowsIsAnError() {
    Nvrtc nvrtc = nvrtc();
    TensorException e = assertThrows(TensorException.class, () -> nvrtc.target(20));
    assertTrue(
        e.getMessage().endsWith("the GPU has 2.0: name an older NVRTC by NIBBLE_NVRTC"),
        e.getMessage());
  }

  @Test
  void multiplyAndAddAreNotFusedUnlessAsked() {
    String ptx = new String(nvrtc().compile(AXPY, "compute_80"), StandardCharsets.ISO_8859_1);
    assertTrue(ptx.contains("mul.rn.f32") && ptx.contains("add.rn.f32"), ptx);
    assertFalse(ptx.contains("fma.rn"), ptx);
  }

  @Test
  void anErrorNamesFileAndLineOfTheResource() {
    CudaProgram both = CudaProgram.of(NvrtcTest.class, "axpy.cu", "wrong.cu");
    Nvrtc nvrtc = nvrtc();
    TensorException e = assertThrows(TensorException.class, () -> nvrtc.compile(both, "sm_90"));
    assertTrue(
        e.getMessage().startsWith("wrong.cu does not compile for sm_90 with " + nvrtc.version()),
        e.getMessage());
    assertTrue(
        e.getMessage().contains("wrong.cu(2): error: identifier \"undeclared\""), e.getMessage());
  }

  @Test
  void thePackagesBesideLibtorchAreSearched() throws IOException {
    Path lib = temporary.resolve("site-packages/torch/lib");
    Path packages = temporary.resolve("site-packages/nvidia/cu13");
    Files.createDirectories(lib);
    Files.createDirectories(packages);
    Path real = Path.of(installed().file());
    assumeTrue(real.isAbsolute(), "skipped: the linker does not say where NVRTC is");
    Files.createSymbolicLink(packages.resolve("lib"), real.getParent());
    NvrtcSearch.Result found = NvrtcSearch.find(null, lib, 0);
    assertEquals(packages.resolve("lib").resolve(real.getFileName()).toString(), found.file());
    assertEquals("", found.problem());
  }

  @Test
  void aCompilerOfALaterCudaThanTheDriversIsPassedOver() {
    Path file = Path.of(installed().file());
    assumeTrue(file.isAbsolute(), "skipped: the linker does not say where NVRTC is");
    NvrtcSearch.Result found = NvrtcSearch.find(null, file.getParent(), 1);
    assertNull(found.compiler());
    assertFalse(found.mistaken());
    String reason = file + " is " + nvrtc().version() + ", later than the driver's CUDA";
    assertTrue(found.problem().contains(reason), found.problem());
  }

  @Test
  void whoeverWantsNoCompilerSaysNone() {
    NvrtcSearch.Result none = NvrtcSearch.find("none", null, 0);
    assertNull(none.compiler());
    assertFalse(none.mistaken());
    assertEquals("NIBBLE_NVRTC is 'none': unset it to look for one", none.problem());
  }

  @Test
  void aNamedCompilerThatIsNoneIsAMistake() {
    NvrtcSearch.Result absent = NvrtcSearch.find("/nowhere/libnvrtc.so", null, 0);
    assertTrue(absent.mistaken());
    assertTrue(
        absent
            .problem()
            .startsWith("NIBBLE_NVRTC is '/nowhere/libnvrtc.so', which cannot be loaded: "),
        absent.problem());
    String root = Path.of("src").toAbsolutePath().toString();
    NvrtcSearch.Result empty = NvrtcSearch.find(root, null, 0);
    assertEquals(
        "NIBBLE_NVRTC is '"
            + root
            + "', which holds no libnvrtc.so; name libnvrtc.so or its directory, of CUDA 11.2 or"
            + " later",
        empty.problem());
  }
}
