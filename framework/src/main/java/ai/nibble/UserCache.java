package ai.nibble;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/**
 * Where things are kept that can be made again: {@code NIBBLE_CACHE}, or {@code nibble} in the
 * cache directory by the XDG Base Directory specification ({@code XDG_CACHE_HOME}, which holds a
 * relative one for invalid, or {@code ~/.cache}).
 */
public final class UserCache {
  private UserCache() {}

  /** The directory of one kind of things, whether it is there or not. */
  public static Path directory(String kind) {
    String own = System.getenv("NIBBLE_CACHE");
    if (own != null && !own.isBlank()) {
      return Path.of(own).toAbsolutePath().resolve(kind);
    }
    String given = System.getenv("XDG_CACHE_HOME");
    boolean valid = given != null && !given.isBlank() && Path.of(given).isAbsolute();
    Path cache = valid ? Path.of(given) : Path.of(System.getProperty("user.home"), ".cache");
    return cache.resolve("nibble").resolve(kind);
  }

  /** Writes the files of a directory, each of them synced. */
  @FunctionalInterface
  public interface Content {
    void write(Path directory) throws IOException;
  }

  /**
   * Makes a directory here that appears whole or not at all; where another process is first, with
   * the same, nothing is left of this one's.
   *
   * @throws InvalidInputException if it cannot be written
   */
  public static void make(Path directory, Content content) {
    try (WholeDirectory whole = WholeDirectory.create(directory, "NIBBLE_CACHE")) {
      content.write(whole.path());
      whole.commit();
    } catch (IOException e) {
      if (!Files.isDirectory(directory)) {
        throw new InvalidInputException(
            directory
                + ": cannot be written: "
                + FileProblem.reason(e)
                + "; name another place for what is made once with NIBBLE_CACHE in the environment",
            e);
      }
    }
  }
}
