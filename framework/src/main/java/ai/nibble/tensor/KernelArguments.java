package ai.nibble.tensor;

/** A kernel's arguments, read one after the other as the kernel lists them. */
public final class KernelArguments {
  private final String kernel;
  private final Object[] values;
  private int next;

  KernelArguments(String kernel, Object[] values) {
    this.kernel = kernel;
    this.values = values;
  }

  /** The next one, a tensor that stays its owner's, with the shape that the caller gave it. */
  public Tensor tensor() {
    return take(Tensor.class);
  }

  /** The next one, a tensor or null. */
  public Tensor tensorOrNull() {
    if (next < values.length && values[next] == null) {
      next++;
      return null;
    }
    return tensor();
  }

  /** The next one, a whole number of 32 or 64 bits. */
  public long whole() {
    Number value = take(Number.class);
    if (!(value instanceof Integer) && !(value instanceof Long)) {
      throw unexpected(value, "a whole number");
    }
    return value.longValue();
  }

  /** The next one, a whole number that says yes or no. */
  public boolean flag() {
    return whole() != 0;
  }

  /** The next one, a float32. */
  public float real() {
    return take(Float.class);
  }

  /** The next one, a float64. */
  public double wideReal() {
    return take(Double.class);
  }

  /** Passes over some that only say how threads divide the work. */
  public KernelArguments skip(int count) {
    next += count;
    return this;
  }

  private <T> T take(Class<T> type) {
    Object value = next < values.length ? values[next] : null;
    if (!type.isInstance(value)) {
      throw unexpected(value, "a " + type.getSimpleName());
    }
    next++;
    return type.cast(value);
  }

  private TensorException unexpected(Object value, String expectation) {
    return new TensorException(
        "kernel " + kernel + ": argument " + next + " is " + value + ", expected " + expectation);
  }
}
