package ai.nibble;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/**
 * The machine as Linux describes it below {@code /proc}, {@code /sys} and {@code /etc}; empty or 0
 * where it does not.
 *
 * @param distribution for example {@code Debian GNU/Linux 12 (bookworm)}
 * @param cpu name of the processor
 * @param cpuFlags its extensions under the kernel's names
 * @param totalBytes of memory
 * @param availableBytes of memory that can be had without swapping
 * @param hasNvidiaGpu whether one is on the PCI bus, with a driver or without
 * @param nvidiaDriver version of the loaded kernel module, for example {@code 570.124.06}
 */
public record Machine(
    String distribution,
    String cpu,
    Set<String> cpuFlags,
    long totalBytes,
    long availableBytes,
    boolean hasNvidiaGpu,
    String nvidiaDriver) {
  private static final String NVIDIA_VENDOR = "0x10de";
  private static final String DISPLAY_CLASS = "0x03";
  private static final Pattern VERSION = Pattern.compile("\\d+\\.\\d+(\\.\\d+)?");
  private static final int KIBI = 1024;

  /**
   * Reads them.
   *
   * @param root where these directories are, {@code /}
   */
  public static Machine read(Path root) {
    List<String> cpu = lines(root.resolve("proc/cpuinfo"));
    List<String> memory = lines(root.resolve("proc/meminfo"));
    String driver = String.join("\n", lines(root.resolve("proc/driver/nvidia/version")));
    Matcher version = VERSION.matcher(driver);
    return new Machine(
        value(lines(root.resolve("etc/os-release")), "PRETTY_NAME", '=').replace("\"", ""),
        value(cpu, "model name", ':'),
        Set.copyOf(Arrays.asList(value(cpu, "flags", ':').split("\\s+"))),
        bytes(value(memory, "MemTotal", ':')),
        bytes(value(memory, "MemAvailable", ':')),
        hasNvidiaGpu(root.resolve("sys/bus/pci/devices")),
        version.find() ? version.group() : "");
  }

  private static List<String> lines(Path file) {
    try {
      return Files.readAllLines(file);
    } catch (IOException e) {
      return List.of(); // as good as absent: it is only told
    }
  }

  private static String value(List<String> lines, String key, char separator) {
    for (String line : lines) {
      int at = line.indexOf(separator);
      if (at > 0 && line.substring(0, at).strip().equals(key)) {
        return line.substring(at + 1).strip();
      }
    }
    return "";
  }

  /** Of {@code 16384 kB}. */
  private static long bytes(String kibibytes) {
    Matcher number = Pattern.compile("(\\d+) kB").matcher(kibibytes);
    return number.matches() ? Long.parseLong(number.group(1)) * KIBI : 0;
  }

  private static boolean hasNvidiaGpu(Path devices) {
    if (!Files.isDirectory(devices)) {
      return false;
    }
    try (Stream<Path> all = Files.list(devices)) {
      return all.anyMatch(
          device ->
              first(device.resolve("vendor")).equals(NVIDIA_VENDOR)
                  && first(device.resolve("class")).startsWith(DISPLAY_CLASS));
    } catch (IOException e) {
      return false;
    }
  }

  private static String first(Path file) {
    return Optional.of(lines(file)).filter(l -> !l.isEmpty()).map(l -> l.get(0).strip()).orElse("");
  }
}
