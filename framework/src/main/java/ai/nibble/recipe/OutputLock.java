package ai.nibble.recipe;

import ai.nibble.InvalidInputException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.channels.OverlappingFileLockException;
import java.nio.charset.StandardCharsets;
import java.nio.file.DirectoryNotEmptyException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Instant;
import java.time.temporal.ChronoUnit;

/**
 * Keeps a second run out of an output directory. The system gives the lock back when the process
 * ends, however it ends; the file says who holds it.
 */
final class OutputLock implements AutoCloseable {
  static final String NAME = ".nibble.lock";

  private final Path file;
  private final FileChannel channel;
  private final boolean made;

  /**
   * @param made whether the directory was not there before
   */
  private OutputLock(Path file, FileChannel channel, boolean made) {
    this.file = file;
    this.channel = channel;
    this.made = made;
  }

  /**
   * @param output made if missing
   * @throws InvalidInputException if another run holds it
   */
  static OutputLock take(Path output) throws IOException {
    boolean made = !Files.exists(output);
    Files.createDirectories(output);
    Path file = output.resolve(NAME);
    FileChannel channel =
        FileChannel.open(
            file, StandardOpenOption.CREATE, StandardOpenOption.READ, StandardOpenOption.WRITE);
    try {
      if (!lock(channel)) {
        throw new InvalidInputException(
            "'output_dir' is '"
                + output
                + "', where another run is at work ("
                + holder(channel)
                + "): wait for it, or choose another directory");
      }
      String own =
          "process "
              + ProcessHandle.current().pid()
              + " on "
              + host()
              + " since "
              + Instant.now().truncatedTo(ChronoUnit.SECONDS)
              + "\n";
      channel.truncate(0);
      channel.write(ByteBuffer.wrap(own.getBytes(StandardCharsets.UTF_8)), 0);
      return new OutputLock(file, channel, made);
    } catch (IOException | RuntimeException e) {
      channel.close();
      throw e;
    }
  }

  /** By the environment: asking the resolver may hang. */
  private static String host() {
    String name = System.getenv().getOrDefault("HOSTNAME", "");
    try {
      name = Files.readString(Path.of("/proc/sys/kernel/hostname")).strip();
    } catch (IOException e) {
      // not Linux: the environment's name will do
    }
    return name.isEmpty() ? "an unnamed host" : name;
  }

  private static boolean lock(FileChannel channel) throws IOException {
    try {
      FileLock lock = channel.tryLock();
      return lock != null;
    } catch (OverlappingFileLockException e) {
      return false; // by this very process
    }
  }

  private static String holder(FileChannel channel) throws IOException {
    ByteBuffer text = ByteBuffer.allocate(400);
    channel.read(text, 0);
    String holder = new String(text.array(), 0, text.position(), StandardCharsets.UTF_8).strip();
    return holder.isEmpty() ? "process unknown" : holder;
  }

  /**
   * Gives the directory free; one that was made for the lock and has nothing in it goes with it.
   */
  @Override
  public void close() throws IOException {
    try (channel) {
      Files.deleteIfExists(file);
    }
    if (made) {
      try {
        Files.delete(file.getParent());
      } catch (DirectoryNotEmptyException e) {
        // the run wrote something
      }
    }
  }
}
