package ai.nibble.export;

import ai.nibble.InvalidInputException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;

/** Where an export goes: nothing that exists is written over. */
public final class Output {
  private Output() {}

  /**
   * Refuses a place that holds something already, or that lies in no directory.
   *
   * @throws InvalidInputException where it exists, or its directory does not
   */
  public static void requireNew(Path path) {
    if (Files.exists(path, LinkOption.NOFOLLOW_LINKS)) {
      throw new InvalidInputException(
          path + ": exists, expected a new place: choose another with --out, or remove it");
    }
    Path directory = path.toAbsolutePath().getParent();
    if (directory == null || !Files.isDirectory(directory)) {
      throw new InvalidInputException(path + ": its directory does not exist, create it first");
    }
  }
}
