package ai.nibble.tensor;

import java.util.Locale;

/** A GPU has not the memory that an operation needs. */
public final class OutOfMemoryException extends TensorException {
  private static final long serialVersionUID = 1L;
  private static final double GB = 1e9;

  /** What is left free by a process that got no more: segments and workspaces are large. */
  private static final double LITTLE = 0.05;

  private OutOfMemoryException(String message, Throwable cause) {
    super(message, cause);
  }

  /** The same with where it happened before it, such as a step of training, and what follows. */
  public OutOfMemoryException during(String where, String then) {
    return new OutOfMemoryException(where + ": " + getMessage() + "; " + then, this);
  }

  /** The same with what helps behind it. */
  public OutOfMemoryException helped(String by) {
    return new OutOfMemoryException(getMessage() + "; " + by, this);
  }

  /**
   * What a failed operation on a GPU is: out of memory where little of it is free, less than was
   * asked for or a twentieth. libtorch gives no more than an error code, and its reason on stderr.
   *
   * @param message of the failure
   * @param asked bytes of what was to be allocated, or of the largest operand
   */
  static TensorException of(String message, Gpu gpu, long asked, long free) {
    if (free >= Math.max(asked, (long) (LITTLE * gpu.totalBytes()))) {
      return new TensorException(message);
    }
    return new OutOfMemoryException(
        String.format(
            Locale.ROOT,
            "cuda:%d (%s) is out of memory: asked for %.2f GB, %.2f of %.2f GB are free; %s",
            gpu.index(),
            gpu.name(),
            asked / GB,
            free / GB,
            gpu.totalBytes() / GB,
            message),
        null);
  }

  /** As {@link #of(String, Gpu, long, long)}, with what the driver says of the device now. */
  static TensorException of(String message, Device device, long asked) {
    try {
      return device.isCpu()
          ? new TensorException(message)
          : of(message, Torch.gpu(device), asked, Torch.freeBytes(device));
    } catch (TensorException e) {
      // the driver does not say, as after a fault of a kernel
      return new TensorException(message, e);
    }
  }
}
