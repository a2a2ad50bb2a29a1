package ai.nibble.nn;

import ai.nibble.autograd.Earlier;
import ai.nibble.autograd.Function;
import ai.nibble.autograd.Gradients;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Ops;
import ai.nibble.tensor.Tensor;

/** The sum of two hidden states; saves nothing. */
public final class Residual extends Function {
  private final Earlier earlier;

  public Residual() {
    this(Earlier.NONE);
  }

  public Residual(Earlier earlier) {
    this.earlier = earlier;
  }

  /** What adding hidden states holds: its output; the gradient is passed on. */
  public static Footprint footprint(Extent extent, int hidden) {
    DType dtype = extent.precision().compute();
    return Footprint.of(extent.made(dtype, extent.tokens(), hidden));
  }

  @Override
  protected Tensor[] forward(Tensor[] inputs) {
    Tensor known = earlier.output(inputs[0].device(), inputs[0].dtype(), inputs[0].shape());
    return new Tensor[] {known != null ? known : Ops.add(inputs[0], inputs[1], 1)};
  }

  @Override
  protected void backward(Tensor[] gradOutputs, Gradients gradients) {
    gradients.pass(0, gradOutputs[0]);
    gradients.pass(1, gradOutputs[0]);
  }
}
