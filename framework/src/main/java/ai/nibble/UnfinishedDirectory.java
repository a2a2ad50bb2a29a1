package ai.nibble;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.channels.OverlappingFileLockException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;

/**
 * A directory that appears whole or not at all, as {@link WholeDirectory} has it, and whose writing
 * may be interrupted and gone on with: its files are written to {@code .NAME.unfinished} beside the
 * target, which stays there until {@link #commit} renames it. A file in it says what is being
 * written, so that only the same is gone on with; another keeps a second process out.
 */
public final class UnfinishedDirectory implements AutoCloseable {
  private static final String LOCK = ".lock";
  private static final String WORK = ".work.txt";

  private final Path target;
  private final Path directory;
  private final FileChannel lock;
  private boolean discarded;

  private UnfinishedDirectory(Path target, Path directory, FileChannel lock) {
    this.target = target;
    this.directory = directory;
    this.lock = lock;
  }

  /**
   * Begins a directory, or goes on with one.
   *
   * @param target does not exist yet; missing directories above it are made
   * @param option what the user named it with, for messages
   * @param work what is written, in words: all that its files depend on
   * @throws InvalidInputException if the target exists, or something else, or another process, is
   *     at work there
   */
  public static UnfinishedDirectory open(Path target, String option, String work) {
    WholeFile.requireNew(target, option);
    Path absolute = target.toAbsolutePath().normalize();
    Path directory = absolute.resolveSibling("." + absolute.getFileName() + ".unfinished");
    try {
      Files.createDirectories(directory);
      FileChannel lock =
          FileChannel.open(
              directory.resolve(LOCK), StandardOpenOption.CREATE, StandardOpenOption.WRITE);
      try {
        requireAlone(directory, lock);
        requireSame(directory, option, work);
        return new UnfinishedDirectory(absolute, directory, lock);
      } catch (IOException | RuntimeException e) {
        lock.close();
        throw e;
      }
    } catch (IOException e) {
      throw new InvalidInputException(target + ": cannot be made: " + FileProblem.reason(e), e);
    }
  }

  private static void requireAlone(Path directory, FileChannel channel) throws IOException {
    FileLock lock = null;
    try {
      lock = channel.tryLock();
    } catch (OverlappingFileLockException e) {
      // this very process has it
    }
    if (lock == null) {
      throw new InvalidInputException(
          directory + ": another process is writing there: wait for it, or write elsewhere");
    }
  }

  private static void requireSame(Path directory, String option, String work) throws IOException {
    Path file = directory.resolve(WORK);
    if (!Files.exists(file)) {
      WholeFile.write(file, work);
    } else if (!Files.readString(file).equals(work)) {
      throw new InvalidInputException(
          directory
              + ": holds the beginning of something else, made of other files or with other"
              + " settings: remove it, or name another place with "
              + option);
    }
  }

  /** Where to write. */
  public Path path() {
    return directory;
  }

  /** Makes the directory appear under its name. */
  public void commit() throws IOException {
    Files.deleteIfExists(directory.resolve(WORK));
    Files.deleteIfExists(directory.resolve(LOCK));
    WholeFile.move(directory, target);
  }

  /** Removes what was written, which then is not gone on with. */
  public void discard() {
    discarded = true;
  }

  /**
   * Leaves what was written for the next time, unless it is whole or {@linkplain #discard no use}.
   */
  @Override
  public void close() {
    try {
      if (discarded) {
        WholeDirectory.delete(directory);
      }
      lock.close();
    } catch (IOException e) {
      throw new UncheckedIOException(
          directory + ": cannot be removed: " + FileProblem.reason(e), e);
    }
  }
}
