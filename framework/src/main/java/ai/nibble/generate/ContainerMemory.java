package ai.nibble.generate;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;

/**
 * Memory that the control groups of this process still let it take (Linux's {@code cgroup-v2.rst}
 * and {@code cgroup-v1/memory.rst}). What a group uses counts without its inactive file pages,
 * which the kernel drops before it refuses memory: as Kubernetes counts a working set.
 */
public final class ContainerMemory {
  public static final long UNLIMITED = Long.MAX_VALUE;

  private ContainerMemory() {}

  /** Of this process, in bytes; {@link #UNLIMITED} where no group sets a limit. */
  public static long free() throws IOException {
    Path own = Path.of("/proc/self/cgroup");
    return Files.isReadable(own)
        ? free(Path.of("/sys/fs/cgroup"), Files.readAllLines(own))
        : UNLIMITED;
  }

  /**
   * The least that a group or one of those around it leaves. A group whose directory is not there
   * is one that the container calls by another name: its own root, then.
   *
   * @param root where groups are mounted
   * @param own lines {@code ID:CONTROLLERS:PATH}; of version 2 {@code 0::PATH}
   */
  static long free(Path root, List<String> own) throws IOException {
    long least = UNLIMITED;
    for (String line : own) {
      String[] fields = line.split(":", 3);
      boolean second = line.startsWith("0::");
      if (fields.length < 3 || !second && !List.of(fields[1].split(",")).contains("memory")) {
        continue;
      }
      Path mounted = second ? root : root.resolve("memory");
      Path group = mounted.resolve(fields[2].replaceFirst("^/+", "")).normalize();
      for (; group != null && group.startsWith(mounted); group = group.getParent()) {
        least = Math.min(least, second ? freeOfVersion2(group) : freeOfVersion1(group));
      }
    }
    return least;
  }

  private static long freeOfVersion2(Path group) throws IOException {
    return free(group, "memory.max", "memory.current", "inactive_file");
  }

  private static long freeOfVersion1(Path group) throws IOException {
    return free(group, "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file");
  }

  private static long free(Path group, String limit, String usage, String inactive)
      throws IOException {
    if (!Files.isReadable(group.resolve(limit)) || !Files.isReadable(group.resolve(usage))) {
      return UNLIMITED;
    }
    String most = Files.readString(group.resolve(limit)).strip();
    if (most.equals("max")) {
      return UNLIMITED;
    }
    long used = Long.parseLong(Files.readString(group.resolve(usage)).strip());
    long working = Math.max(0, used - field(group.resolve("memory.stat"), inactive));
    return Math.max(0, Long.parseLong(most) - working);
  }

  /** Of the line {@code NAME BYTES}; 0 without one. */
  private static long field(Path file, String name) throws IOException {
    if (!Files.isReadable(file)) {
      return 0;
    }
    try (Stream<String> lines = Files.lines(file)) {
      return lines
          .filter(line -> line.startsWith(name + " "))
          .mapToLong(line -> Long.parseLong(line.substring(name.length() + 1).strip()))
          .findFirst()
          .orElse(0);
    }
  }
}
