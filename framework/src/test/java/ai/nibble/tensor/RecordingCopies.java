package ai.nibble.tensor;

import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import org.junit.jupiter.api.Assertions;

/**
 * Copies between the main memory and itself, as if tensors on the CPU were a GPU's, by a driver
 * that writes down what it is told. The copies are made as late as the events allow, or at once:
 * see {@link LazyStreams}.
 */
public final class RecordingCopies implements AutoCloseable {
  /** The CPU's. */
  final RecordingCuda cuda;

  /** One for each device, as each may have a thread. */
  private final Map<Device, RecordingCuda> drivers = new ConcurrentHashMap<>();

  private final boolean eager;
  private final KernelLaunchers.Installation copies;
  private final KernelLaunchers.Installation uploads;

  /**
   * Puts them in force for the CPU.
   *
   * @param eager whether copies are made at once
   */
  public RecordingCopies(boolean eager) {
    this(eager, 0);
  }

  /**
   * With copies of values that come from Java arrays, to {@linkplain Device#pretended pretended}
   * devices.
   *
   * @param eager whether copies are made at once
   * @param ring bytes of the page-locked memory for them, which does not grow; 0: as without
   */
  public RecordingCopies(boolean eager, long ring) {
    this.eager = eager;
    cuda = driver(Device.CPU);
    copies =
        HostCopies.install(
            Device.Type.CPU,
            device -> new HostCopies(driver(device), driver(device)::stream, device));
    uploads = ring == 0 ? () -> {} : Uploads.install(Device.Type.CPU, d -> uploads(d, ring));
  }

  private RecordingCuda driver(Device device) {
    return drivers.computeIfAbsent(
        device,
        d -> {
          RecordingCuda driver = new RecordingCuda();
          driver.current = 0xC064 + d.index();
          driver.streams.eager = eager;
          return driver;
        });
  }

  private Uploads uploads(Device device, long ring) {
    RecordingCuda driver = driver(device);
    return new Uploads(driver, driver::stream, device, ring, ring, Assertions::fail);
  }

  /** How often a call was made, of all devices. */
  public long count(String call) {
    return drivers.values().stream()
        .flatMap(driver -> driver.calls.stream())
        .filter(c -> c.startsWith(call + "("))
        .count();
  }

  /** Calls so far for the CPU. */
  public List<String> calls() {
    return List.copyOf(cuda.calls);
  }

  /** Page-locked allocations that were not given back, of all devices. */
  public int held() {
    return drivers.values().stream().mapToInt(RecordingCuda::held).sum();
  }

  @Override
  public void close() {
    uploads.close();
    copies.close();
  }
}
