package ai.nibble.autograd;

import ai.nibble.tensor.DType;
import ai.nibble.tensor.Device;
import ai.nibble.tensor.Tensor;
import java.util.Arrays;
import java.util.function.Consumer;

/**
 * What a function is told of an earlier run of the same computation, so that it may leave work out.
 * What its backward needs it saves in any case.
 */
public final class Earlier {
  /** There was none: the output is to be computed. */
  public static final Earlier NONE = new Earlier(null, false, null, null);

  /** The output's values are not read. */
  public static final Earlier UNREAD = new Earlier(null, true, null, null);

  private final Tensor output;
  private final boolean unread;
  private final AutoCloseable aside;
  private final Consumer<AutoCloseable> keeper;

  private Earlier(
      Tensor output, boolean unread, AutoCloseable aside, Consumer<AutoCloseable> keeper) {
    this.output = output;
    this.unread = unread;
    this.aside = aside;
    this.keeper = keeper;
  }

  /**
   * There was none, and there will be a second run, for which something may be kept aside.
   *
   * @param aside takes it
   */
  static Earlier first(Consumer<AutoCloseable> aside) {
    return new Earlier(null, false, null, aside);
  }

  /**
   * The output is known.
   *
   * @param output stays the caller's
   * @param aside what the first run kept beside it, or null; stays the caller's too
   */
  static Earlier of(Tensor output, AutoCloseable aside) {
    return new Earlier(output, false, aside, null);
  }

  /** Whether there will be a second run that gets the output, and what is kept aside. */
  public boolean keepsAside() {
    return keeper != null;
  }

  /** Keeps something beside the output for the second run, once; it is taken over. */
  public void keepAside(AutoCloseable resource) {
    keeper.accept(resource);
  }

  /** What the first run kept aside, which stays where it is; null if it kept nothing. */
  public <T extends AutoCloseable> T aside(Class<T> type) {
    return type.cast(aside);
  }

  /**
   * The output where it need not be computed, the caller's to close: the known one, or one of
   * undefined values where they are not read.
   *
   * @param device of the output, as its dtype and shape
   * @return null where it has to be computed
   * @throws IllegalStateException if the known one is another step's
   */
  public Tensor output(Device device, DType dtype, long... shape) {
    if (unread) {
      return Tensor.empty(device, dtype, shape);
    }
    if (output != null && (output.dtype() != dtype || !Arrays.equals(output.shape(), shape))) {
      throw new IllegalStateException(
          "a step of a checkpoint gets "
              + output
              + ", expected "
              + dtype
              + " "
              + Arrays.toString(shape)
              + ": its part took other steps the first time");
    }
    return output == null ? null : output.share();
  }
}
