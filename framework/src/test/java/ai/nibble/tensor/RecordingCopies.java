package ai.nibble.tensor;

import java.util.List;

/**
 * Copies between the main memory and itself, as if tensors on the CPU were a GPU's, by a driver
 * that writes down what it is told. The copies are made as late as the events allow, or at once.
 */
public final class RecordingCopies implements AutoCloseable {
  final RecordingCuda cuda = new RecordingCuda();
  private final KernelLaunchers.Installation installation;

  /**
   * Puts them in force for the CPU.
   *
   * @param eager whether copies are made at once
   */
  public RecordingCopies(boolean eager) {
    cuda.current = 0xC064;
    cuda.streams.eager = eager;
    installation =
        HostCopies.install(Device.Type.CPU, device -> new HostCopies(cuda, cuda::stream, device));
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
    installation.close();
  }
}
