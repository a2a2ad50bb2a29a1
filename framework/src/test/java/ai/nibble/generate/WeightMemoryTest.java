package ai.nibble.generate;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What the kernel's files say of free memory. */
final class WeightMemoryTest {
  @TempDir Path root;

  private void write(String name, String text) throws IOException {
    Path file = root.resolve(name);
    Files.createDirectories(file.getParent());
    Files.writeString(file, text + "\n");
  }

  private long free(String... own) throws IOException {
    return ContainerMemory.free(root, List.of(own));
  }

  @Test
  void availableMemoryIsReadInKibibytes() {
    List<String> lines = List.of("MemTotal:  9 kB", "MemAvailable:    7 kB", "Buffers: 3 kB");
    assertEquals(7 * 1024, WeightMemory.parse(lines));
    assertThrows(
        IllegalArgumentException.class, () -> WeightMemory.parse(List.of("MemFree: 1 kB")));
  }

  @Test
  void whatAGroupUsesIsNotFreeButFilesThatCanBeDroppedAre() throws IOException {
    write("a/memory.max", "1000");
    write("a/memory.current", "700");
    assertEquals(300, free("0::/a"));
    write("a/memory.stat", "anon 500\ninactive_file 150\nactive_file 50");
    assertEquals(450, free("0::/a"));
    write("a/memory.current", "2000");
    assertEquals(0, free("0::/a"));
  }

  @Test
  void theTightestOfTheGroupsAroundCounts() throws IOException {
    write("a/memory.max", "1000");
    write("a/memory.current", "700");
    write("a/b/memory.max", "max");
    write("a/b/memory.current", "600");
    assertEquals(300, free("0::/a/b"));
    write("a/b/memory.max", "650");
    assertEquals(50, free("0::/a/b"));
    assertEquals(ContainerMemory.UNLIMITED, free("0::/"));
    assertEquals(ContainerMemory.UNLIMITED, free());
  }

  @Test
  void theFirstVersionHasOtherNames() throws IOException {
    write("memory/memory.limit_in_bytes", "1000");
    write("memory/memory.usage_in_bytes", "800");
    write("memory/memory.stat", "inactive_file 1\ntotal_inactive_file 100");
    // a container sees its own group as the root, whatever the host calls it
    assertEquals(300, free("5:devices:/", "4:memory:/docker/0123", "0::/"));
  }

  @Test
  void thisMachineHasSome() throws IOException {
    assertTrue(WeightMemory.half() > 0);
    assertTrue(ContainerMemory.free() > 0);
  }
}
