package ai.nibble;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.io.IOException;
import java.nio.file.AccessDeniedException;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.api.io.TempDir;

class FileProblemTest {
  @TempDir private Path temp;

  private static String reason(Executable what) {
    return FileProblem.reason(assertThrows(IOException.class, what));
  }

  @Test
  void whatTheFileSystemSaysIsInWords() throws IOException {
    Path file = Files.createFile(temp.resolve("file"));
    assertEquals("no such file or directory", reason(() -> Files.readString(temp.resolve("no"))));
    assertEquals("a file is in its way", reason(() -> Files.createDirectories(file)));
    // the system's own words, in the user's language, without the name that the message has already
    for (Executable what :
        List.<Executable>of(
            () -> Files.createDirectory(file.resolve("below")), () -> Files.readAllBytes(temp))) {
      String reason = reason(what);
      assertFalse(reason.isBlank() || reason.contains(temp.toString()), reason);
    }
  }

  @Test
  void ofAnyOtherItIsTheMessage() {
    assertEquals("permission denied", FileProblem.reason(new AccessDeniedException("x")));
    assertEquals("no medium", FileProblem.reason(new FileSystemException("x", null, "no medium")));
    assertEquals("broken pipe", FileProblem.reason(new IOException("broken pipe")));
    assertEquals("no reason is given", FileProblem.reason(new IOException()));
  }
}
