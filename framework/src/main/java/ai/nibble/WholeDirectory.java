package ai.nibble;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.stream.Stream;

/**
 * A directory that appears whole or not at all: its files are written to a hidden directory beside
 * the target, which {@link #commit} renames. {@link #close} without a commit removes what was
 * written. What is written there must be synced by whoever writes it, as {@link WholeFile} does.
 */
public final class WholeDirectory implements AutoCloseable {
  private final Path target;
  private final Path temporary;
  private boolean committed;

  private WholeDirectory(Path target, Path temporary) {
    this.target = target;
    this.temporary = temporary;
  }

  /**
   * Begins a directory.
   *
   * @param target does not exist yet; missing directories above it are made
   * @param option what the user named it with, for the message
   * @throws InvalidInputException if the target exists
   */
  public static WholeDirectory create(Path target, String option) {
    WholeFile.requireNew(target, option);
    Path absolute = target.toAbsolutePath().normalize();
    Path temporary = WholeFile.temporary(absolute);
    try {
      Files.createDirectories(absolute.getParent());
      Files.createDirectory(temporary);
    } catch (IOException e) {
      throw new InvalidInputException(target + ": cannot be made: " + FileProblem.reason(e), e);
    }
    return new WholeDirectory(absolute, temporary);
  }

  /** Deletes a file, or a directory with all that is in it; nothing happens where there is none. */
  public static void delete(Path path) throws IOException {
    if (!Files.exists(path, LinkOption.NOFOLLOW_LINKS)) {
      return;
    }
    try (Stream<Path> tree = Files.walk(path)) {
      for (Path each : tree.sorted(Comparator.reverseOrder()).toList()) {
        Files.delete(each);
      }
    }
  }

  /** Where to write. */
  public Path path() {
    return temporary;
  }

  /** Makes the directory appear under its name. */
  public void commit() throws IOException {
    WholeFile.move(temporary, target);
    committed = true;
  }

  /** Removes what was written unless {@link #commit} succeeded. */
  @Override
  public void close() {
    if (committed) {
      return;
    }
    try {
      delete(temporary);
    } catch (IOException e) {
      throw new UncheckedIOException(
          temporary + ": cannot be removed: " + FileProblem.reason(e), e);
    }
  }
}
