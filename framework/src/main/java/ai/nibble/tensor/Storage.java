package ai.nibble.tensor;

import java.util.concurrent.atomic.AtomicInteger;

/** Memory that several tensors share, counted until the last of them is closed. */
final class Storage {
  private final Device where;
  private final long bytes;
  private final AtomicInteger tensors = new AtomicInteger(1);

  /** Memory of one tensor so far. */
  Storage(Device device, long bytes) {
    this.where = device;
    this.bytes = bytes;
    TensorMemory.add(where, bytes);
  }

  /** The same for one tensor more. */
  Storage shared() {
    tensors.incrementAndGet();
    return this;
  }

  /** One tensor less. */
  void release() {
    if (tensors.decrementAndGet() == 0) {
      TensorMemory.add(where, -bytes);
    }
  }
}
