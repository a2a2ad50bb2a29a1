package ai.nibble.tensor;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * The calls of the driver as C sees them: a library with the prototypes of {@code cuda.h} stands in
 * for it, in a process of its own, as a library is loaded once for a process.
 */
class LibcudaTest {
  private static final int MINUTES = 2;

  @TempDir private Path temporary;

  private String output(String... command) throws IOException, InterruptedException {
    Path out = temporary.resolve("out");
    Process process =
        new ProcessBuilder(command)
            .redirectOutput(out.toFile())
            .redirectError(temporary.resolve("err").toFile())
            .start();
    assertTrue(process.waitFor(MINUTES, TimeUnit.MINUTES), "still running");
    String text = Files.readString(out);
    assertEquals(0, process.exitValue(), () -> text + error());
    return text;
  }

  private String error() {
    try {
      return Files.readString(temporary.resolve("err"));
    } catch (IOException e) {
      return e.toString();
    }
  }

  private void compileStub() throws IOException, InterruptedException {
    boolean hasCompiler =
        List.of(System.getenv("PATH").split(":")).stream()
            .anyMatch(directory -> Files.isExecutable(Path.of(directory, "cc")));
    assumeTrue(hasCompiler, "skipped: needs a C compiler, 'cc', which is not here");
    Path source = temporary.resolve("stub_cuda.c");
    try (InputStream in = LibcudaTest.class.getResourceAsStream("stub_cuda.c")) {
      Files.write(source, in.readAllBytes());
    }
    String library = temporary.resolve("libcuda.so.1").toString();
    output("cc", "-shared", "-fPIC", "-Wall", "-Werror", "-o", library, source.toString());
  }

  @Test
  void callsReachADriverWithThePrototypesOfCuda() throws IOException, InterruptedException {
    compileStub();
    String text =
        output(
            Path.of(System.getProperty("java.home"), "bin", "java").toString(),
            "-Djna.library.path=" + temporary,
            "-cp",
            System.getProperty("java.class.path"),
            StubDriver.class.getName());
    String failed = " of axpy.cu on cuda:0, 4x1x1 blocks of 64 threads, 0 shared bytes: ";
    assertEquals(
        List.of(
            "12080[Gpu[index=0, name=Stub GPU, capability=90, multiprocessors=4,"
                + " totalBytes=85899345920]]",
            "free 75161927680",
            "unified 0",
            "cuMemAllocManaged of 2.15 GB for cuda:0: CUDA_ERROR_INVALID_VALUE (invalid argument)",
            "uploaded -10",
            "uploaded -11",
            "uploaded -12",
            "done",
            "[6.0, 12.0, 3.0]",
            "[11.0, 22.0, 3.0]",
            "kernel axpy_f32(1)"
                + failed
                + "cuLaunchKernel: CUDA_ERROR_INVALID_VALUE (invalid argument)",
            "kernel other()" + failed + "cuModuleGetFunction: CUDA error 500"),
        text.lines().toList());
  }
}
