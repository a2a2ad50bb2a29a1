package ai.nibble.autograd;

import ai.nibble.tensor.DType;
import ai.nibble.tensor.Device;
import ai.nibble.tensor.Tensor;
import java.util.Arrays;
import java.util.List;

/**
 * What a function is told of an earlier run of the same computation, so that it may leave work out.
 * What its backward needs it saves in any case.
 */
public final class Earlier {
  /** There was none: the output is to be computed. */
  public static final Earlier NONE = new Earlier(null, false, List.of());

  /** The output's values are not read. */
  public static final Earlier UNREAD = new Earlier(null, true, List.of());

  private final Tensor output;
  private final boolean unread;
  private final List<Tensor> aside;

  private Earlier(Tensor output, boolean unread, List<Tensor> aside) {
    this.output = output;
    this.unread = unread;
    this.aside = aside;
  }

  /** There was none, and there will be a second run, for which something may be kept aside. */
  static Earlier first(List<Tensor> aside) {
    return new Earlier(null, false, aside);
  }

  /**
   * The output is known.
   *
   * @param output stays the caller's
   * @param aside what the first run kept beside it, which stays the caller's too
   */
  static Earlier of(Tensor output, List<Tensor> aside) {
    return new Earlier(output, false, List.copyOf(aside));
  }

  /**
   * Keeps what the second run needs beside the output, where there will be one that gets the
   * output. The tensor stays the caller's.
   */
  public void keepAside(Tensor tensor) {
    if (this != NONE && this != UNREAD && output == null) {
      aside.add(tensor.share());
    }
  }

  /** What the first run kept aside, in that order. */
  public List<Tensor> aside() {
    return aside;
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
