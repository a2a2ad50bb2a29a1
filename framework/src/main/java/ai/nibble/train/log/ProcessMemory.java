package ai.nibble.train.log;

import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.lang.management.MemoryPoolMXBean;
import java.lang.management.MemoryUsage;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.OptionalLong;

/**
 * This process's memory, Java heap and native tensors alike.
 *
 * <p>On Linux the resident set as the kernel counts it ({@code VmRSS} and {@code VmHWM} of {@code
 * /proc/self/status}). Elsewhere the JVM's committed memory, which leaves out what native libraries
 * hold and so is only a lower bound.
 */
public final class ProcessMemory {
  private static final Path STATUS = Path.of("/proc/self/status");

  private ProcessMemory() {}

  /** Bytes resident now. */
  public static long residentBytes() {
    return kernelCount("VmRSS")
        .orElseGet(
            () ->
                ManagementFactory.getMemoryPoolMXBeans().stream()
                    .map(MemoryPoolMXBean::getUsage)
                    .mapToLong(ProcessMemory::committed)
                    .sum());
  }

  /** The most bytes that were ever resident in this process. */
  public static long peakBytes() {
    return kernelCount("VmHWM")
        .orElseGet(
            () ->
                ManagementFactory.getMemoryPoolMXBeans().stream()
                    .map(MemoryPoolMXBean::getPeakUsage)
                    .mapToLong(ProcessMemory::committed)
                    .sum());
  }

  private static long committed(MemoryUsage usage) {
    return usage == null ? 0 : usage.getCommitted(); // null for a pool no longer valid
  }

  private static OptionalLong kernelCount(String field) {
    try {
      return Files.isReadable(STATUS)
          ? parse(Files.readAllLines(STATUS), field)
          : OptionalLong.empty();
    } catch (IOException e) {
      return OptionalLong.empty(); // a number in a log line must not end a run
    }
  }

  /** Bytes of a line such as {@code VmRSS:\t 123456 kB}. */
  static OptionalLong parse(List<String> status, String field) {
    for (String line : status) {
      if (line.startsWith(field + ":") && line.endsWith(" kB")) {
        String number = line.substring(field.length() + 1, line.length() - 3).strip();
        if (number.matches("[0-9]{1,15}")) {
          return OptionalLong.of(Long.parseLong(number) * 1024);
        }
      }
    }
    return OptionalLong.empty();
  }
}
