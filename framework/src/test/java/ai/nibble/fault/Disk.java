package ai.nibble.fault;

import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * What the paths of {@link #path} do to the disk, one change at a time: each is counted, and a
 * {@link Fault} may fail it, or end everything as a kill or a power cut would.
 */
public final class Disk {
  /** Ends a "process": from then on nothing reaches the disk, clean-up of any kind included. */
  public static final class Killed extends Error {
    private static final long serialVersionUID = 1L;
  }

  /** Kinds of changes. */
  public enum Change {
    CREATE,
    WRITE,
    FORCE,
    CLOSE,
    MOVE,
    DELETE,
    MAKE_DIRECTORY
  }

  /** What goes wrong. */
  @FunctionalInterface
  public interface Fault {
    /** No change fails. */
    Fault NONE = (number, change, path) -> {};

    /**
     * Called before a change.
     *
     * @param number of the change, from 1
     * @throws IOException to fail it
     * @throws Killed to end everything here; a write is torn then
     */
    void before(int number, Change change, Path path) throws IOException;
  }

  private final Fault fault;
  private final Set<Path> unsynced = new HashSet<>();
  private final Map<Change, Integer> counts = new HashMap<>();
  private final List<String> log = new ArrayList<>();
  private int changes;
  private boolean dead;

  public Disk(Fault fault) {
    this.fault = fault;
  }

  /** A disk whose process is killed at a change. */
  public static Disk killedAt(int number) {
    return new Disk(
        (n, change, path) -> {
          if (n == number) {
            throw new Killed();
          }
        });
  }

  /** The same file, by way of this disk. */
  public Path path(Path real) {
    return new DiskFiles(this).wrap(real.toAbsolutePath());
  }

  /** Changes so far. */
  public int changes() {
    return changes;
  }

  /** Changes of a kind so far. */
  public int changes(Change kind) {
    return counts.getOrDefault(kind, 0);
  }

  /** The changes so far, one line each. */
  public List<String> log() {
    return log;
  }

  boolean isDead() {
    return dead;
  }

  /** Throws if there is no process any more. */
  void requireAlive() {
    if (dead) {
      throw new Killed();
    }
  }

  /** A change is about to happen. */
  void before(Change change, Path path) throws IOException {
    requireAlive();
    changes++;
    counts.merge(change, 1, Integer::sum);
    log.add(changes + " " + change + " " + path.getFileName());
    try {
      fault.before(changes, change, path);
    } catch (Killed e) {
      dead = true;
      throw e;
    }
  }

  void written(Path path) {
    unsynced.add(path);
  }

  void synced(Path path) {
    unsynced.remove(path);
  }

  void moved(Path from, Path to) {
    if (unsynced.remove(from)) {
      unsynced.add(to);
    }
  }

  /**
   * A power cut: files whose bytes were not synced have their length, and zeros in it, as a journal
   * of names without data leaves them.
   */
  public void cutPower() throws IOException {
    for (Path file : unsynced) {
      if (Files.isRegularFile(file)) {
        try (RandomAccessFile raw = new RandomAccessFile(file.toFile(), "rw")) {
          raw.write(new byte[Math.toIntExact(raw.length())]);
        }
      }
    }
  }
}
