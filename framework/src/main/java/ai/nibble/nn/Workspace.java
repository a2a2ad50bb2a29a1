package ai.nibble.nn;

import ai.nibble.tensor.DType;
import ai.nibble.tensor.Device;
import ai.nibble.tensor.Tensor;
import java.util.EnumMap;
import java.util.Map;

/**
 * Buffers that the layers of a model reuse in turn: memory that was written before costs a tenth of
 * memory fresh from the kernel. A buffer's content lasts until its purpose is asked for again, so a
 * model computes on one thread at a time.
 */
public final class Workspace implements AutoCloseable {
  /** What a buffer is for; two that are needed at once have two purposes. */
  public enum Purpose {
    /** A dequantised weight with its adapter beside it. */
    WEIGHT,
    /** The input of a product, widened or with the adapter's columns beside it. */
    INPUT,
    /** The result of a product, before it is rounded or split. */
    OUTPUT,
    /** An input after dropout. */
    DROPPED,
    /** The gradient by a product whose rows DoRA scales. */
    SCALED,
    /** One token's attention scores. */
    SCORES,
    /** Logits of some positions. */
    LOGITS,
    /** int8 codes of an input. */
    CODES,
    /** int32 sums of a product of codes. */
    SUMS,
    /** The gradient of a trained weight, before it is added to the others. */
    WEIGHT_GRAD,
    /** The output head's weight, or part of it, in the product's dtype. */
    HEAD
  }

  private final Map<Purpose, Tensor> buffers = new EnumMap<>(Purpose.class);
  private final Device device;

  /** Buffers on the CPU. */
  public Workspace() {
    this(Device.CPU);
  }

  /** Buffers on a device. */
  public Workspace(Device device) {
    this.device = device;
  }

  /** A contiguous tensor with undefined content, which the caller closes; its memory stays here. */
  public Tensor get(Purpose purpose, DType dtype, long... shape) {
    long n = 1;
    for (long s : shape) {
      n *= s;
    }
    try (Tensor part = reserve(purpose, dtype, n).narrow(0, 0, n)) {
      return part.view(shape);
    }
  }

  /**
   * Makes room at once for what will be asked for in growing sizes.
   *
   * @return the buffer, which stays here
   */
  Tensor reserve(Purpose purpose, DType dtype, long elements) {
    Tensor buffer = buffers.get(purpose);
    if (buffer == null || buffer.dtype() != dtype || buffer.numel() < elements) {
      if (buffer != null) {
        buffer.close();
        buffers.remove(purpose);
      }
      buffer = Tensor.empty(device, dtype, Math.max(1, elements));
      buffers.put(purpose, buffer);
    }
    return buffer;
  }

  /** Bytes held. */
  public long bytes() {
    return buffers.values().stream().mapToLong(Tensor::byteSize).sum();
  }

  @Override
  public void close() {
    buffers.values().forEach(Tensor::close);
    buffers.clear();
  }
}
