package ai.nibble.tensor;

import java.util.List;
import org.junit.jupiter.api.Assertions;

/**
 * Copies between the main memory and itself, as if tensors on the CPU were a GPU's, by a driver
 * that writes down what it is told. The copies are made as late as the events allow, or at once:
 * see {@link LazyStreams}.
 */
public final class RecordingCopies implements AutoCloseable {
  final RecordingCuda cuda = new RecordingCuda();
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
    cuda.current = 0xC064;
    cuda.streams.eager = eager;
    copies =
        HostCopies.install(Device.Type.CPU, device -> new HostCopies(cuda, cuda::stream, device));
    uploads =
        ring == 0
            ? () -> {}
            : Uploads.install(
                Device.Type.CPU,
                device -> new Uploads(cuda, cuda::stream, device, ring, ring, Assertions::fail));
  }

  /** How often a call was made. */
  public long count(String call) {
    return cuda.calls.stream().filter(c -> c.startsWith(call + "(")).count();
  }

  /** Calls so far. */
  public List<String> calls() {
    return List.copyOf(cuda.calls);
  }

  /** Page-locked allocations that were not given back. */
  public int held() {
    return cuda.held();
  }

  @Override
  public void close() {
    uploads.close();
    copies.close();
  }
}
