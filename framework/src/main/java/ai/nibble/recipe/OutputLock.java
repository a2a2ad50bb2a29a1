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
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.ArrayList;
import java.util.List;
import java.util.UUID;

/**
 * Keeps a second run out of an output directory. The system gives the lock back when the process
 * ends, however it ends; the file says who holds it, and a token that nobody else has: a file that
 * was removed while it was waited for can still be locked, and keeps nobody out.
 */
final class OutputLock implements AutoCloseable {
  static final String NAME = ".nibble.lock";

  private final Path file;
  private final List<Path> made;
  private FileChannel channel;
  private String content;

  /**
   * @param content of the file
   * @param made directories that were not there before, the innermost first
   */
  private OutputLock(Path file, FileChannel channel, String content, List<Path> made) {
    this.file = file;
    this.channel = channel;
    this.content = content;
    this.made = made;
  }

  /**
   * Takes the lock.
   *
   * @param output made if missing
   * @throws InvalidInputException if another run holds it
   */
  static OutputLock take(Path output) throws IOException {
    return take(output, () -> {});
  }

  /**
   * Takes the lock.
   *
   * @param opened called when a file is open and not locked yet
   */
  static OutputLock take(Path output, Runnable opened) throws IOException {
    List<Path> made = missing(output);
    while (true) {
      Files.createDirectories(output);
      Path file = output.resolve(NAME);
      FileChannel channel = open(file);
      boolean held = false;
      try {
        opened.run();
        if (!lock(channel)) {
          throw new InvalidInputException(
              "'output_dir' is '"
                  + output
                  + "', where another run is at work ("
                  + holder(channel)
                  + "): wait for it, or choose another directory");
        }
        String content = content();
        channel.truncate(0);
        channel.write(ByteBuffer.wrap(content.getBytes(StandardCharsets.UTF_8)), 0);
        held = holds(file, content);
        if (held) {
          return new OutputLock(file, channel, content, made);
        }
      } finally {
        if (!held) {
          channel.close();
        }
      }
    }
  }

  /**
   * Takes the lock of a directory that was made anew in the place of the one that was moved away.
   *
   * @throws InvalidInputException if another run was faster
   */
  void takeAnew() throws IOException {
    OutputLock anew = take(file.getParent());
    channel.close();
    channel = anew.channel;
    content = anew.content;
  }

  private static FileChannel open(Path file) throws IOException {
    return FileChannel.open(
        file, StandardOpenOption.CREATE, StandardOpenOption.READ, StandardOpenOption.WRITE);
  }

  private static List<Path> missing(Path output) {
    List<Path> missing = new ArrayList<>();
    Path each = output.toAbsolutePath();
    while (each != null && !Files.exists(each)) {
      missing.add(each);
      each = each.getParent();
    }
    return missing;
  }

  /** Who it is in a line for people, then the token. */
  private static String content() {
    return "process "
        + ProcessHandle.current().pid()
        + " on "
        + host()
        + " since "
        + Instant.now().truncatedTo(ChronoUnit.SECONDS)
        + "\n"
        + UUID.randomUUID()
        + "\n";
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

  /** Whether the file of that name is the one that was written to. */
  private static boolean holds(Path file, String content) throws IOException {
    try {
      return Files.readString(file).equals(content);
    } catch (NoSuchFileException e) {
      return false;
    }
  }

  private static String holder(FileChannel channel) throws IOException {
    ByteBuffer text = ByteBuffer.allocate(400);
    channel.read(text, 0);
    String holder = new String(text.array(), 0, text.position(), StandardCharsets.UTF_8);
    return holder.isBlank() ? "process unknown" : holder.strip().lines().findFirst().orElseThrow();
  }

  /**
   * Gives the directory free; what was made for the lock and has nothing in it goes with it. Where
   * the directory was moved and another took its name, the lock there is another run's and stays.
   */
  @Override
  public void close() throws IOException {
    try {
      if (!holds(file, content)) {
        return;
      }
      Files.delete(file);
    } finally {
      channel.close();
    }
    try {
      for (Path each : made) {
        Files.deleteIfExists(each);
      }
    } catch (DirectoryNotEmptyException e) {
      // the run wrote something
    }
  }
}
