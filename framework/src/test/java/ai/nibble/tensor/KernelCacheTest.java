package ai.nibble.tensor;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class KernelCacheTest {
  private static final CudaProgram AXPY = CudaProgram.of(KernelCacheTest.class, "axpy.cu");
  private static final CudaProgram WRONG = CudaProgram.of(KernelCacheTest.class, "wrong.cu");

  @TempDir private Path temporary;

  private final FakeCompiler compiler = new FakeCompiler();
  private final List<String> log = new ArrayList<>();

  private KernelCache cache(Path directory) {
    return new KernelCache(compiler, directory, log::add);
  }

  private List<Path> entries() throws IOException {
    try (Stream<Path> files = Files.list(temporary.resolve("kernels"))) {
      return files.sorted().toList();
    }
  }

  @Test
  void whatWasCompiledOnceIsReadAgain() throws IOException {
    byte[] first = cache(temporary.resolve("kernels")).compile(AXPY, "sm_90");
    byte[] second = cache(temporary.resolve("kernels")).compile(AXPY, "sm_90");
    assertEquals(1, compiler.compiled);
    assertArrayEquals(first, second);
    assertEquals(1, entries().size(), "nothing else lies there");
    assertTrue(entries().get(0).getFileName().toString().matches("[0-9a-f]{64}\\.cubin"));
    assertEquals(List.of(), log);
  }

  @Test
  void sourceTargetAndCompilerEachMakeAnEntryOfItsOwn() throws IOException {
    KernelCache cache = cache(temporary.resolve("kernels"));
    cache.compile(AXPY, "sm_90");
    cache.compile(WRONG, "sm_90");
    cache.compile(AXPY, "sm_80");
    cache.compile(AXPY, "compute_90");
    compiler.identity = "fake 2";
    assertEquals("fake 2 sm_90 axpy.cu", new String(cache.compile(AXPY, "sm_90")));
    assertEquals(5, compiler.compiled);
    assertEquals(5, entries().size());
    assertEquals(1, entries().stream().filter(e -> e.toString().endsWith(".ptx")).count());
  }

  @Test
  void aDamagedEntryIsCompiledAnewAndMended() throws IOException {
    KernelCache cache = cache(temporary.resolve("kernels"));
    byte[] good = cache.compile(AXPY, "sm_90");
    byte[] file = Files.readAllBytes(entries().get(0));
    int compiled = 1;
    for (int[] damage : new int[][] {{file.length - 1, 0}, {0, 0}, {file.length, 40}}) {
      byte[] bad = Arrays.copyOf(file, damage[0]);
      if (damage[1] > 0) {
        bad[damage[1]] ^= 1;
      }
      Files.write(entries().get(0), bad);
      assertArrayEquals(good, cache.compile(AXPY, "sm_90"));
      assertEquals(++compiled, compiler.compiled);
      assertArrayEquals(file, Files.readAllBytes(entries().get(0)));
    }
    cache.compile(AXPY, "sm_90");
    assertEquals(compiled, compiler.compiled);
    assertEquals(List.of(), log);
  }

  @Test
  void aDirectoryThatCannotBeWrittenCostsOneLine() throws IOException {
    Path file = Files.writeString(temporary.resolve("file"), "not a directory");
    KernelCache cache = cache(file.resolve("kernels"));
    cache.compile(AXPY, "sm_90");
    assertEquals("fake 1 sm_90 axpy.cu", new String(cache.compile(AXPY, "sm_90")));
    assertEquals(2, compiler.compiled);
    assertEquals(1, log.size(), "" + log);
    assertTrue(
        log.get(0)
            .startsWith(file.resolve("kernels") + ": compiled kernels cannot be kept there ("),
        log.get(0));
    assertTrue(log.get(0).endsWith("make it writable or set XDG_CACHE_HOME"), log.get(0));
  }
}
