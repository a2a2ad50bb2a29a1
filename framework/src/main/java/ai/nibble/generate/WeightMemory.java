package ai.nibble.generate;

import ai.nibble.tensor.Device;
import ai.nibble.tensor.Torch;
import com.sun.management.OperatingSystemMXBean;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/** How much memory a generator may use for weights kept ready. */
public final class WeightMemory {
  private static final Path MEMINFO = Path.of("/proc/meminfo");

  private WeightMemory() {}

  /** Half of what is available now, in bytes. */
  public static long half() {
    return available() / 2;
  }

  /** Half of what is available now where a model is, in bytes. */
  static long half(Device device) {
    return device.isCpu() ? half() : Torch.freeBytes(device) / 2;
  }

  /**
   * As the kernel counts it, caches that can be dropped included; at most what is left of the
   * container's limit.
   */
  public static long available() {
    try {
      return Math.min(ContainerMemory.free(), parse(Files.readAllLines(MEMINFO)));
    } catch (IOException | IllegalArgumentException e) {
      return ManagementFactory.getPlatformMXBean(OperatingSystemMXBean.class).getFreeMemorySize();
    }
  }

  /** Bytes of the line {@code MemAvailable: 123456 kB}. */
  static long parse(List<String> meminfo) {
    return meminfo.stream()
        .filter(line -> line.matches("MemAvailable:\\s+\\d{1,15} kB"))
        .mapToLong(line -> Long.parseLong(line.replaceAll("\\D", "")) * 1024)
        .findFirst()
        .orElseThrow(() -> new IllegalArgumentException("no MemAvailable in " + MEMINFO));
  }
}
