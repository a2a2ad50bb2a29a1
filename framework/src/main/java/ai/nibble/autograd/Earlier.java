package ai.nibble.autograd;

import ai.nibble.tensor.DType;
import ai.nibble.tensor.Tensor;
import java.util.Arrays;

/**
 * What a function is told of an earlier run of the same computation, so that it may leave work out.
 * What its backward needs it saves in any case.
 */
public final class Earlier {
  /** There was none: the output is to be computed. */
  public static final Earlier NONE = new Earlier(null, false);

  /** The output's values are not read. */
  public static final Earlier UNREAD = new Earlier(null, true);

  private final Tensor output;
  private final boolean unread;

  private Earlier(Tensor output, boolean unread) {
    this.output = output;
    this.unread = unread;
  }

  /**
   * The output is known.
   *
   * @param output stays the caller's
   */
  static Earlier of(Tensor output) {
    return new Earlier(output, false);
  }

  /**
   * The output where it need not be computed, the caller's to close: the known one, or one of
   * undefined values where they are not read.
   *
   * @param dtype of the output, as its shape
   * @return null where it has to be computed
   * @throws IllegalStateException if the known one is another step's
   */
  public Tensor output(DType dtype, long... shape) {
    if (unread) {
      return Tensor.empty(dtype, shape);
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
