package ai.nibble;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Files that appear whole or not at all. */
final class WholeFileTest {
  @TempDir Path temp;

  private List<String> names() throws IOException {
    try (Stream<Path> entries = Files.list(temp)) {
      return entries.map(path -> path.getFileName().toString()).sorted().toList();
    }
  }

  @Test
  void aFileIsReplacedAndNothingLiesBesideIt() throws IOException {
    WholeFile.write(temp.resolve("a"), "first");
    WholeFile.write(temp.resolve("a"), "größer");
    assertEquals("größer", Files.readString(temp.resolve("a")));
    assertEquals(List.of("a"), names());
  }

  @Test
  void whatFailsLeavesEverythingAsItWas() throws IOException {
    Files.createDirectories(temp.resolve("a/full"));
    assertThrows(IOException.class, () -> WholeFile.write(temp.resolve("a"), "x"));
    assertThrows(IOException.class, () -> WholeFile.write(temp.resolve("none/b"), "x"));
    assertEquals(List.of("a"), names());
  }

  @Test
  void aDirectoryIsMovedAsAWhole() throws IOException {
    Files.createDirectories(temp.resolve("a"));
    WholeFile.write(temp.resolve("a/b"), "x");
    WholeFile.move(temp.resolve("a"), temp.resolve("c"));
    assertEquals("x", Files.readString(temp.resolve("c/b")));
    assertEquals(List.of("c"), names());
  }
}
