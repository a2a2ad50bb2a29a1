package ai.nibble.tensor;

import java.util.List;

/** Pages in the main memory, by a driver that writes down what it is told. */
public final class RecordingPages {
  private final RecordingCuda cuda = new RecordingCuda();

  /** Pages for tensors in the main memory, as if they were a GPU's. */
  public Pages allocate(Device device, long bytes) {
    cuda.current = 0xC064; // the context of the device: it is not exchanged
    return new Pages(new CudaUnified(cuda, cuda::stream), device, bytes);
  }

  /** The driver's calls since the last time. */
  public List<String> calls() {
    List<String> calls = List.copyOf(cuda.calls);
    cuda.calls.clear();
    return calls;
  }

  /** Allocations that were not given back. */
  public int held() {
    return cuda.held();
  }
}
