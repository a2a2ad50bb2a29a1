package ai.nibble.tensor;

/**
 * Where a tensor's memory is.
 *
 * @param type the kind of device
 * @param index the CUDA ordinal; of the CPU 0, or the number of a {@linkplain #pretended pretended}
 *     device
 */
public record Device(Type type, int index) {
  /** The kinds of device, with libtorch's stable numbers. */
  public enum Type {
    CPU(0),
    CUDA(1);

    private final int code;

    Type(int code) {
      this.code = code;
    }

    int code() {
      return code;
    }
  }

  public static final Device CPU = new Device(Type.CPU, 0);

  public Device {
    if (index < 0) {
      throw new IllegalArgumentException("device index is " + index + " for " + type);
    }
  }

  /**
   * A device of its own in the CPU's memory, computed by the CPU: operations refuse operands of two
   * such devices as they do those of two GPUs. With it what is spread over several devices is seen
   * at work, and tested to the bit, where there are none.
   *
   * @param number above 0
   */
  public static Device pretended(int number) {
    if (number < 1) {
      throw new IllegalArgumentException("number of a pretended device is " + number);
    }
    return new Device(Type.CPU, number);
  }

  /** Whether memory there is the CPU's: true of pretended devices, too. */
  public boolean isCpu() {
    return type == Type.CPU;
  }

  @Override
  public String toString() {
    if (isCpu()) {
      return index == 0 ? "cpu" : "cpu:" + index;
    }
    return "cuda:" + index;
  }
}
