package ai.nibble;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.stream.Stream;

/** What tests do to directories behind a run's back. */
public final class Directories {
  private Directories() {}

  /** Copies the files of a directory, which has no others in it. */
  public static void copy(Path from, Path to) throws IOException {
    Files.createDirectories(to);
    try (Stream<Path> files = Files.list(from)) {
      for (Path file : files.toList()) {
        Files.copy(file, to.resolve(file.getFileName()));
      }
    }
  }

  /** Moves a directory away and puts an empty one in its place. */
  public static void replace(Path directory, Path moved) {
    try {
      Files.move(directory, moved);
      Files.createDirectory(directory);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }
}
