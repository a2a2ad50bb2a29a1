package ai.nibble;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.UUID;

/**
 * Files that appear whole or not at all, and last once they are there: bytes go to a hidden file
 * beside the target, are synced, and are renamed over it; then the directory is synced. A power cut
 * leaves the old file or the new one.
 */
public final class WholeFile {
  private WholeFile() {}

  /**
   * Checks that a place for a file or directory is free, before any work is done for it.
   *
   * @param option what the user named it with, for the message
   * @throws InvalidInputException if it holds something already
   */
  public static void requireNew(Path target, String option) {
    if (Files.exists(target, LinkOption.NOFOLLOW_LINKS)) {
      throw new InvalidInputException(
          target + ": exists already, expected a new place: name another with " + option);
    }
    if (target.toAbsolutePath().normalize().getParent() == null) {
      throw new InvalidInputException(target + ": is no name for something new");
    }
  }

  /** Writes the text in UTF-8. */
  public static void write(Path target, String text) throws IOException {
    write(target, text.getBytes(StandardCharsets.UTF_8));
  }

  /**
   * Writes the bytes.
   *
   * @param target in a directory that exists; an existing file is replaced
   * @throws IOException if that fails; the target is as it was then, and nothing lies beside it
   */
  public static void write(Path target, byte[] bytes) throws IOException {
    Path temporary = temporary(target);
    try {
      try (FileChannel channel =
          FileChannel.open(temporary, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE)) {
        ByteBuffer left = ByteBuffer.wrap(bytes);
        while (left.hasRemaining()) {
          channel.write(left);
        }
        channel.force(true);
      }
      move(temporary, target);
    } finally {
      Files.deleteIfExists(temporary);
    }
  }

  /** A name beside the target that no other writer uses: {@code .NAME.UUID.tmp}. */
  public static Path temporary(Path target) {
    return target.resolveSibling("." + target.getFileName() + "." + UUID.randomUUID() + ".tmp");
  }

  /**
   * Renames in one step, and makes the rename last. What is in the files must be synced already.
   *
   * @param temporary a file, which replaces an existing target; or a directory, whose target does
   *     not exist
   */
  public static void move(Path temporary, Path target) throws IOException {
    Files.move(
        temporary, target, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
    syncDirectory(target.toAbsolutePath().getParent());
  }

  /** A rename is only lasting once its directory is; Windows cannot open one and needs no sync. */
  private static void syncDirectory(Path directory) throws IOException {
    if (!directory.getFileSystem().supportedFileAttributeViews().contains("posix")) {
      return;
    }
    try (FileChannel channel = FileChannel.open(directory, StandardOpenOption.READ)) {
      channel.force(true);
    }
  }
}
