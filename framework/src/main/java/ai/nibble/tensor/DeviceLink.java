package ai.nibble.tensor;

import java.util.List;

/**
 * How values get from worker to worker of one process, each with its device. Copies are queued like
 * any other operation: a device reads what was queued for it before, and what is queued after reads
 * what has arrived. Used by one thread at a time, while no worker computes.
 */
public interface DeviceLink extends AutoCloseable {
  /** Whether one worker's operations can read another's memory as it lies. */
  boolean shares(int worker, int other);

  /**
   * Copies values from one worker to another.
   *
   * @param into contiguous, on the device of {@code worker}
   * @param from contiguous, of the same dtype and shape, on the device of {@code other}
   */
  void copy(int worker, Tensor into, int other, Tensor from);

  /**
   * Copies the first worker's values to all others.
   *
   * @param ofEach one tensor a worker, contiguous and of one dtype and shape
   */
  default void broadcast(List<Tensor> ofEach) {
    for (int worker = 1; worker < ofEach.size(); worker++) {
      copy(worker, ofEach.get(worker), 0, ofEach.get(0));
    }
  }

  /** In words, for people. */
  String description();

  @Override
  void close();

  /**
   * A link between these devices: the memory itself where all are one, else NCCL where libtorch
   * brings it, else libtorch's own copies.
   *
   * @param devices of the workers: one for all, or different GPUs
   */
  static DeviceLink between(List<Device> devices) {
    return devices.stream().distinct().count() == 1
        ? new CopyingLink(true, "shared memory")
        : Nccl.find()
            .<DeviceLink>map(
                api -> new NcclLink(api, LibtorchCuda::aoti_torch_get_current_cuda_stream, devices))
            .orElseGet(() -> new CopyingLink(false, "copies by libtorch, which brings no NCCL"));
  }
}
