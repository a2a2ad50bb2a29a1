package ai.nibble.checkpoint;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.BasicFileAttributes;

/**
 * A directory that somebody writes to over a long time, known by what the system calls it: another
 * that takes its name meanwhile is somebody else's.
 */
public final class OwnDirectory {
  private final Path path;
  private Object key;

  public OwnDirectory(Path path) {
    this.path = path;
  }

  /** The name that it had when it was claimed first. */
  public Path path() {
    return path;
  }

  /**
   * Makes the directory if it is missing, and remembers which one it is.
   *
   * @return whether it was gone since it was claimed before, and is made anew
   * @throws IOException if it cannot be made, or is another directory by now
   */
  public boolean claim() throws IOException {
    boolean gone = key != null && !Files.isDirectory(path);
    Files.createDirectories(path);
    Object found = key();
    if (key != null && !gone && !key.equals(found)) {
      throw new IOException(
          "it is no longer the directory that this run began in, which was moved or replaced:"
              + " nothing is written to another's");
    }
    key = found; // null where the system numbers no files
    return gone;
  }

  /** Whether what is there now is what was claimed. */
  public boolean isThere() {
    try {
      return key == null || key.equals(key());
    } catch (IOException e) {
      return false;
    }
  }

  private Object key() throws IOException {
    return Files.readAttributes(path, BasicFileAttributes.class).fileKey();
  }
}
