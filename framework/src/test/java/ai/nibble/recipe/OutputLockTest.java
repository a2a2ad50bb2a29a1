package ai.nibble.recipe;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.InvalidInputException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** One run in an output directory, whatever happens to the lock's file meanwhile. */
final class OutputLockTest {
  @TempDir Path temp;

  private static void close(OutputLock lock) {
    try {
      lock.close();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  @Test
  void aLockWhoseFileWasRemovedBeforeItWasTakenIsTakenAgain() throws IOException {
    Path output = temp.resolve("out");
    OutputLock first = OutputLock.take(output);
    int[] opened = {0};
    OutputLock second =
        OutputLock.take(
            output,
            () -> {
              if (opened[0]++ == 0) {
                close(first); // removes the file that the second one has just opened
              }
            });
    try (second) {
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
