package ai.nibble.tensor;

import com.sun.jna.Memory;
import com.sun.jna.Pointer;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/**
 * Native memory in which a thread hands over a kernel's arguments, made once for the thread: a slot
 * of 8 bytes for each value, then the array of pointers to the slots that {@code cuLaunchKernel}
 * takes, which never changes, then two words for results of the driver. The driver copies as many
 * bytes from a slot as the kernel's parameter has.
 */
final class LaunchFrame {
  static final int MOST_ARGUMENTS = 64;

  private static final ThreadLocal<LaunchFrame> OF_THREAD =
      ThreadLocal.withInitial(LaunchFrame::new);

  private static final int SLOT = Long.BYTES;
  private static final int POINTERS = MOST_ARGUMENTS * SLOT;
  private static final int CONTEXT = POINTERS + MOST_ARGUMENTS * SLOT;
  private static final int STREAM = CONTEXT + SLOT;
  private static final int SIZE = STREAM + SLOT;

  /** Freed when the thread is gone. */
  private final Memory memory = new Memory(SIZE);

  private final long address = Pointer.nativeValue(memory);
  private final ByteBuffer bytes = memory.getByteBuffer(0, SIZE).order(ByteOrder.nativeOrder());

  private LaunchFrame() {
    for (int i = 0; i < MOST_ARGUMENTS; i++) {
      bytes.putLong(POINTERS + i * SLOT, address + (long) i * SLOT);
    }
  }

  static LaunchFrame ofThread() {
    return OF_THREAD.get();
  }

  /**
   * Writes the arguments into their slots.
   *
   * @throws TensorException if there are too many, or a tensor is closed
   */
  void pack(String kernel, Object[] arguments) {
    if (arguments.length > MOST_ARGUMENTS) {
      throw new TensorException(
          "kernel "
              + kernel
              + ": "
              + arguments.length
              + " arguments, expected at most "
              + MOST_ARGUMENTS);
    }
    for (int i = 0; i < arguments.length; i++) {
      put(i * SLOT, arguments[i]);
    }
  }

  private void put(int slot, Object argument) {
    if (argument == null) {
      bytes.putLong(slot, 0);
    } else if (argument instanceof Tensor tensor) {
      tensor.writeAddress(address + slot);
    } else if (argument instanceof Integer value) {
      bytes.putInt(slot, value);
    } else if (argument instanceof Long value) {
      bytes.putLong(slot, value);
    } else if (argument instanceof Float value) {
      bytes.putFloat(slot, value);
    } else {
      bytes.putDouble(slot, (Double) argument);
    }
  }

  /** Address of the array of pointers to the arguments. */
  long parameters() {
    return address + POINTERS;
  }

  /** Where a call writes a context. */
  long contextAddress() {
    return address + CONTEXT;
  }

  long context() {
    return bytes.getLong(CONTEXT);
  }

  /** Where a call writes a stream. */
  long streamAddress() {
    return address + STREAM;
  }

  long stream() {
    return bytes.getLong(STREAM);
  }
}
