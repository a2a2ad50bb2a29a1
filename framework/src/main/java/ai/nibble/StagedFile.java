package ai.nibble;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;

/**
 * A file that is too large to be in memory and appears whole or not at all: its bytes go to a
 * hidden file beside the target, which {@link #commit} syncs, checks and renames. {@link #close}
 * without a commit removes it: an existing target stays as it was, also for those who have it open
 * or mapped. {@link WholeFile} writes small ones.
 */
public final class StagedFile implements AutoCloseable {
  /** A channel copies what lies on the heap through memory of the same size outside it. */
  private static final int HEAP_BYTES = 1 << 16;

  private final Path target;
  private final Path temporary;
  private final FileChannel channel;
  private boolean committed;

  private StagedFile(Path target) throws IOException {
    this.target = target.toAbsolutePath();
    this.temporary = WholeFile.temporary(this.target);
    this.channel =
        FileChannel.open(temporary, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE);
  }

  /** Reads back what was written. */
  @FunctionalInterface
  public interface Check {
    /**
     * @param written synced, under its hidden name
     * @throws IOException if it is not what was given
     * @throws InvalidInputException likewise, in a reader's words
     */
    void run(Path written) throws IOException;
  }

  /**
   * Checks that a file can be where it shall be.
   *
   * @throws InvalidInputException if the target is a directory or its directory is missing
   */
  public static void requirePlace(Path target) {
    Path directory = target.toAbsolutePath().getParent();
    if (directory == null || !Files.isDirectory(directory)) {
      throw new InvalidInputException(target + ": its directory does not exist, create it first");
    }
    if (Files.isDirectory(target)) {
      throw new InvalidInputException(target + ": is a directory, expected a file to write");
    }
  }

  /**
   * Begins a file.
   *
   * @param target of which {@link #requirePlace} holds; an existing file is replaced in the end
   * @throws UncheckedIOException if it cannot be made
   */
  public static StagedFile create(Path target) {
    try {
      return new StagedFile(target);
    } catch (IOException e) {
      throw failure(target, e);
    }
  }

  /**
   * Writes all of the bytes.
   *
   * @param bytes consumed from position to limit
   * @param position in the file
   * @throws UncheckedIOException if that fails; the target is untouched
   */
  public void write(ByteBuffer bytes, long position) {
    int limit = bytes.limit();
    int most = bytes.isDirect() ? Integer.MAX_VALUE : HEAP_BYTES;
    long at = position;
    try {
      while (bytes.position() < limit) {
        bytes.limit(bytes.position() + Math.min(most, limit - bytes.position()));
        at += channel.write(bytes, at);
      }
    } catch (IOException e) {
      throw failure(target, e);
    } finally {
      bytes.limit(limit);
    }
  }

  /**
   * Makes the file appear under its name, if what is on disk is what was given. On any failure it
   * does not, and {@link #close} cleans up.
   *
   * @throws UncheckedIOException if syncing, checking or renaming fails
   */
  public void commit(Check check) {
    try {
      channel.force(true);
      channel.close();
      readBack(check);
      WholeFile.move(temporary, target);
      committed = true;
    } catch (IOException e) {
      throw failure(target, e);
    }
  }

  private void readBack(Check check) throws IOException {
    try {
      check.run(temporary);
    } catch (InvalidInputException e) {
      throw new IOException("the file read back is not valid: " + e.getMessage(), e);
    }
  }

  private static UncheckedIOException failure(Path target, IOException e) {
    return new UncheckedIOException(target + ": cannot be written: " + FileProblem.reason(e), e);
  }

  /** Removes what was written unless {@link #commit} succeeded; harmless when called twice. */
  @Override
  public void close() {
    try {
      channel.close();
      if (!committed) {
        Files.deleteIfExists(temporary);
      }
    } catch (IOException e) {
      throw new UncheckedIOException(
          temporary + ": cannot be removed: " + FileProblem.reason(e), e);
    }
  }
}
