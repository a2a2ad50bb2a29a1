package ai.nibble;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class WholeDirectoryTest {
  @TempDir Path temp;

  private List<String> names() throws IOException {
    try (Stream<Path> files = Files.list(temp)) {
      return files.map(f -> f.getFileName().toString()).toList();
    }
  }

  @Test
  void whatIsCommittedAppearsWhole() throws IOException {
    Path target = temp.resolve("new/out");
    try (WholeDirectory directory = WholeDirectory.create(target, "--output")) {
      Files.createDirectories(directory.path().resolve("a"));
      Files.writeString(directory.path().resolve("a/b"), "c");
      assertFalse(Files.exists(target));
      directory.commit();
    }
    assertEquals("c", Files.readString(target.resolve("a/b")));
  }

  @Test
  void whatIsNotCommittedLeavesNothing() throws IOException {
    try (WholeDirectory directory = WholeDirectory.create(temp.resolve("out"), "--output")) {
      Files.createDirectories(directory.path().resolve("a"));
      Files.writeString(directory.path().resolve("a/b"), "c");
    }
    assertEquals(List.of(), names());
  }

  @Test
  void aTargetThatExistsIsRefused() throws IOException {
    Path target = Files.writeString(temp.resolve("out"), "");
    String message =
        assertThrows(InvalidInputException.class, () -> WholeDirectory.create(target, "--output"))
            .getMessage();
    assertEquals(
        target + ": exists already, expected a new place: name another with --output", message);
    assertEquals(List.of("out"), names());
  }
}
