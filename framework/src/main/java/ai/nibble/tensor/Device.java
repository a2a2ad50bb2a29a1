package ai.nibble.tensor;

/**
 * Where a tensor's memory is.
 *
 * @param type the kind of device
 * @param index 0 for the CPU, the CUDA ordinal otherwise
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
    if (index < 0 || (type == Type.CPU && index != 0)) {
      throw new IllegalArgumentException("device index is " + index + " for " + type);
    }
  }

  public boolean isCpu() {
    return type == Type.CPU;
  }

  @Override
  public String toString() {
    return isCpu() ? "cpu" : "cuda:" + index;
  }
}
