package ai.nibble.tensor;

/**
 * Memory of a device that the driver moves to the main memory, page by page, when the device needs
 * the room for something else, and back when it is touched: CUDA's unified memory. Tensors on it
 * are the device's like any other.
 */
public final class Pages implements AutoCloseable {
  /** What kernels that read several values at once ask of an address, and more. */
  private static final long ALIGNMENT = 256;

  private final Unified memory;
  private final Device device;
  private final long address;
  private final long bytes;
  private long taken;
  private boolean closed;

  /** Where such memory comes from: the CUDA driver, or in tests something else. */
  interface Unified {
    long allocate(Device device, long bytes);

    /** Moves it to the device ahead of what is queued there next, as far as there is room. */
    void prefetch(Device device, long address, long bytes);

    void free(Device device, long address);
  }

  /**
   * Memory for a device.
   *
   * @param bytes as {@link #bytesFor} counts them
   * @throws TensorException if the driver has not so much
   */
  public static Pages of(Device device, long bytes) {
    return new Pages(CudaProcess.unified(), device, bytes);
  }

  Pages(Unified memory, Device device, long bytes) {
    this.memory = memory;
    this.device = device;
    this.bytes = bytes;
    this.address = memory.allocate(device, bytes);
  }

  /** Bytes that a tensor takes here. */
  public static long bytesFor(DType dtype, long elements) {
    return (elements * dtype.bytes() + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
  }

  /**
   * The next tensor, of undefined values; the caller closes it before this.
   *
   * @throws IllegalStateException if there is not the room
   */
  public Tensor take(DType dtype, long elements) {
    long size = bytesFor(dtype, elements);
    if (taken + size > bytes) {
      throw new IllegalStateException(size + " bytes after " + taken + " of " + bytes);
    }
    Tensor tensor = Tensor.over(address + taken, device, dtype, elements);
    taken += size;
    return tensor;
  }

  /** Has all of it on the device by the time that what is queued next reads it. */
  public void prefetch() {
    memory.prefetch(device, address, bytes);
  }

  @Override
  public void close() {
    if (!closed) {
      closed = true;
      memory.free(device, address);
    }
  }
}
