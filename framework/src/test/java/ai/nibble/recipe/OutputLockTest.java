package ai.nibble.recipe;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.InvalidInputException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** One run in an output directory, whatever happens to the lock's file meanwhile. */
final class OutputLockTest {
  @TempDir Path temp;

  private static void delete(Path file) {
    try {
      Files.delete(file);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  @Test
  void aLockWhoseFileWasRemovedBeforeItWasTakenIsTakenAgain() throws IOException {
    Path output = temp.resolve("out");
    int[] opened = {0};
    OutputLock lock =
        OutputLock.take(
            output,
            () -> {
              if (opened[0]++ == 0) {
                delete(output.resolve(OutputLock.NAME)); // as another process does at its end
              }
            });
    try (lock) {
      assertEquals(2, opened[0]);
      assertTrue(Files.exists(output.resolve(OutputLock.NAME)));
      assertThrows(InvalidInputException.class, () -> OutputLock.take(output));
    }
    assertFalse(Files.exists(output.resolve(OutputLock.NAME)));
  }

  @Test
  void theLockOfARunThatTookTheDirectorysNameStays() throws IOException {
    Path output = Files.createDirectory(temp.resolve("out"));
    OutputLock first = OutputLock.take(output);
    Files.move(output, temp.resolve("moved"));
    OutputLock second = OutputLock.take(output);
    try (second) {
      first.close();
      assertTrue(Files.exists(output.resolve(OutputLock.NAME)));
      assertThrows(InvalidInputException.class, () -> OutputLock.take(output));
    }
  }

  /** Tries to take the lock of a directory, as another process; prints what came of it. */
  static final class Other {
    private Other() {}

    public static void main(String[] args) throws IOException {
      try {
        OutputLock.take(Path.of(args[0])).close();
        System.out.print("taken");
      } catch (InvalidInputException e) {
        System.out.print(e.getMessage());
      }
    }
  }

  private static String other(Path output) throws IOException, InterruptedException {
    Process process =
        new ProcessBuilder(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-cp",
                System.getProperty("java.class.path"),
                Other.class.getName(),
                output.toString())
            .redirectError(ProcessBuilder.Redirect.INHERIT)
            .start();
    String said = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    assertEquals(0, process.waitFor());
    return said;
  }

  /**
   * Also after this process has itself been refused, which opens and closes nothing of the file.
   */
  @Test
  void anotherProcessIsKeptOutAsLongAsTheLockIsHeld() throws Exception {
    Path output = temp.resolve("out");
    OutputLock lock = OutputLock.take(output);
    assertThrows(InvalidInputException.class, () -> OutputLock.take(output));
    String refused = other(output);
    assertTrue(
        refused.contains("where another run is at work (process " + ProcessHandle.current().pid()),
        refused);
    Files.move(output, temp.resolve("moved"));
    lock.takeAnew();
    refused = other(output);
    assertTrue(refused.contains("where another run is at work"), refused);
    lock.close();
    assertEquals("taken", other(output));
  }

  @Test
  void directoriesThatWereMadeForTheLockGoWithIt() throws IOException {
    Path output = temp.resolve("a/b/out");
    OutputLock.take(output).close();
    assertFalse(Files.exists(temp.resolve("a")));
    OutputLock lock = OutputLock.take(output);
    try (lock) {
      Files.writeString(temp.resolve("a/mine"), "x");
    }
    assertFalse(Files.exists(temp.resolve("a/b")));
    assertTrue(Files.exists(temp.resolve("a/mine")));
  }
}
