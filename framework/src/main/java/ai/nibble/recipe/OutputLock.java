package ai.nibble.recipe;

import ai.nibble.InvalidInputException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.channels.OverlappingFileLockException;
import java.nio.charset.StandardCharsets;
import java.nio.file.DirectoryNotEmptyException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.BasicFileAttributes;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ConcurrentHashMap;

/**
 * Keeps a second run out of an output directory. The system gives the lock back when the process
 * ends, however it ends; the file says who holds it.
 *
 * <p>A file that was removed while it was waited for can still be locked, and keeps nobody out; so
 * it is looked whether the locked file is still the one of that name. That must be done without
 * opening it: where locks are POSIX's, a process gives up those that it has on a file whenever it
 * closes any descriptor of it. For the same reason runs of one process are kept apart by what they
 * hold, not by the system.
 */
final class OutputLock implements AutoCloseable {
  static final String NAME = ".nibble.lock";

  /** Files that this process holds, by what the system calls them, and who it says holds them. */
  private static final Map<Object, String> HELD = new ConcurrentHashMap<>();

  private final Path file;
  private final List<Path> made;
  private FileChannel channel;
  private Object key;

  /**
   * @param key of the locked file
   * @param made directories that were not there before, the innermost first
   */
  private OutputLock(Path file, FileChannel channel, Object key, List<Path> made) {
    this.file = file;
    this.channel = channel;
    this.key = key;
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
  static synchronized OutputLock take(Path output, Runnable opened) throws IOException {
    List<Path> made = missing(output);
    while (true) {
      Files.createDirectories(output);
      Path file = output.resolve(NAME);
      try {
        Object key = made(file);
        if (HELD.containsKey(key)) {
          throw held(output, HELD.get(key));
        }
        Optional<FileChannel> channel = locked(output, key, opened);
        if (channel.isPresent()) {
          return new OutputLock(file, channel.get(), key, made);
        }
      } catch (NoSuchFileException e) {
        // removed meanwhile: once more
      }
    }
  }

  /** The file, locked and written; empty where it is another by then. */
  private static Optional<FileChannel> locked(Path output, Object key, Runnable opened)
      throws IOException {
    Path file = output.resolve(NAME);
    FileChannel channel = FileChannel.open(file, StandardOpenOption.READ, StandardOpenOption.WRITE);
    boolean held = false;
    try {
      opened.run();
      if (!lock(channel)) {
        throw held(output, holder(channel));
      }
      if (!key.equals(key(file))) {
        return Optional.empty();
      }
      String content = content();
      channel.truncate(0);
      channel.write(ByteBuffer.wrap(content.getBytes(StandardCharsets.UTF_8)), 0);
      HELD.put(key, content);
      held = true;
      return Optional.of(channel);
    } finally {
      if (!held) {
        channel.close();
      }
    }
  }

  private static InvalidInputException held(Path output, String holder) {
    return new InvalidInputException(
        "'output_dir' is '"
            + output
            + "', where another run is at work ("
            + holder.strip()
            + "): wait for it, or choose another directory");
  }

  /** Makes the file if it is missing; its key. */
  private static Object made(Path file) throws IOException {
    while (true) {
      try {
        Files.createFile(file);
      } catch (FileAlreadyExistsException e) {
        // left by a run that was killed, or held
      }
      try {
        return key(file);
      } catch (NoSuchFileException e) {
        // removed meanwhile: once more
      }
    }
  }

  /** What the system calls the file of that name; where it has no word for it, its path. */
  private static Object key(Path file) throws IOException {
    Object key = Files.readAttributes(file, BasicFileAttributes.class).fileKey();
    return key == null ? file.toRealPath() : key;
  }

  /**
   * Takes the lock of a directory that was made anew in the place of the one that was moved away.
   *
   * @throws InvalidInputException if another run was faster
   */
  void takeAnew() throws IOException {
    OutputLock anew = take(file.getParent());
    HELD.remove(key);
    channel.close();
    channel = anew.channel;
    key = anew.key;
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

  /** Who it is, in a line for people. */
  private static String content() {
    return "process "
        + ProcessHandle.current().pid()
        + " on "
        + host()
        + " since "
        + Instant.now().truncatedTo(ChronoUnit.SECONDS)
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

  /** Whether the file of that name is the one that is locked. */
  private boolean isThere() throws IOException {
    try {
      return key.equals(key(file));
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
      if (!isThere()) {
        return;
      }
      Files.delete(file);
    } finally {
      HELD.remove(key);
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
