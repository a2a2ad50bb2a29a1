package ai.nibble.nn;

import ai.nibble.autograd.Function;
import ai.nibble.autograd.Gradients;
import ai.nibble.tensor.Device;
import ai.nibble.tensor.Tensor;

/**
 * A hidden state on another device: forward copies it there, backward copies its gradient back.
 * Saves nothing. A copy has the same bits, in whatever dtype.
 */
public final class Transfer extends Function {
  private final Device from;
  private final Device to;

  public Transfer(Device from, Device to) {
    if (from.equals(to)) {
      throw new IllegalArgumentException("from " + from + " to itself");
    }
    this.from = from;
    this.to = to;
  }

  /**
   * What a hidden state's copy holds where it goes; its gradient takes as much where it came from.
   */
  public static Footprint footprint(Extent extent, int rows, int hidden) {
    long bytes = extent.compute(rows, hidden);
    return Footprint.of(bytes).inBackward(0, 0, bytes);
  }

  @Override
  protected Tensor[] forward(Tensor[] inputs) {
    return new Tensor[] {inputs[0].to(to)};
  }

  @Override
  protected void backward(Tensor[] gradOutputs, Gradients gradients) {
    gradients.add(0, gradOutputs[0].to(from));
  }
}
