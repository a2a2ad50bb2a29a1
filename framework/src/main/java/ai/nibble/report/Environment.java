package ai.nibble.report;

import ai.nibble.Machine;
import ai.nibble.NibbleVersion;
import ai.nibble.tensor.Device;
import ai.nibble.tensor.Torch;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Collectors;

/**
 * What a run computed with. Texts are empty where nothing is known.
 *
 * @param nibble the version
 * @param commit the git commit it was built from
 * @param libtorch the version
 * @param java the version
 * @param os with version and architecture
 * @param cpu its name
 * @param memoryBytes of the machine
 * @param threads of one operation on the CPU
 * @param device {@code cpu} or {@code cuda:0}
 * @param gpu its name
 */
public record Environment(
    String nibble,
    String commit,
    String libtorch,
    String java,
    String os,
    String cpu,
    long memoryBytes,
    int threads,
    String device,
    String gpu) {

  /** Empty in place of null, as of a file that lacks some. */
  public Environment {
    nibble = known(nibble);
    commit = known(commit);
    libtorch = known(libtorch);
    java = known(java);
    os = known(os);
    cpu = known(cpu);
    device = known(device);
    gpu = known(gpu);
  }

  private static String known(String text) {
    return text == null ? "" : text;
  }

  /**
   * This process's.
   *
   * @param devices that it trains on
   */
  public static Environment here(List<Device> devices) {
    Machine machine = Machine.read(Path.of("/"));
    return new Environment(
        NibbleVersion.text(),
        NibbleVersion.commit().orElse(""),
        Torch.version(),
        Runtime.version().toString(),
        String.join(
            " ",
            System.getProperty("os.name"),
            System.getProperty("os.version"),
            System.getProperty("os.arch")),
        machine.cpu(),
        machine.totalBytes(),
        Torch.threads(),
        devices.stream().map(Device::toString).collect(Collectors.joining(", ")),
        devices.stream()
            .filter(device -> !device.isCpu())
            .map(gpu -> Torch.gpu(gpu).name())
            .distinct()
            .collect(Collectors.joining(", ")));
  }
}
