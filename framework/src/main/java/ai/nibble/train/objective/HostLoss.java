package ai.nibble.train.objective;

import ai.nibble.autograd.Function;
import ai.nibble.autograd.Gradients;
import ai.nibble.tensor.Device;
import ai.nibble.tensor.Tensor;

/**
 * A loss of some numbers that is computed on the host, in double precision, and knows its own
 * gradient; a device is waited for.
 *
 * <p>Input: float32 {@code [M]}. Output: float32 {@code [1]}.
 */
final class HostLoss extends Function {
  private final Formula formula;
  private float[] gradient;
  private Device device;

  /** The loss as a function of its inputs. */
  @FunctionalInterface
  interface Formula {
    /**
     * @param inputs {@code [M]}
     * @param gradient {@code [M]}, zeros, to be filled with the loss's derivatives
     * @return the loss
     */
    double apply(float[] inputs, double[] gradient);
  }

  HostLoss(Formula formula) {
    this.formula = formula;
  }

  @Override
  protected Tensor[] forward(Tensor[] inputs) {
    device = inputs[0].device();
    float[] values = inputs[0].toFloats();
    double[] derivatives = new double[values.length];
    double loss = formula.apply(values, derivatives);
    gradient = new float[values.length];
    for (int i = 0; i < gradient.length; i++) {
      gradient[i] = (float) derivatives[i];
    }
    return new Tensor[] {Tensor.of(device, new float[] {(float) loss}, 1)};
  }

  @Override
  protected void backward(Tensor[] gradOutputs, Gradients gradients) {
    float factor = gradOutputs[0].toFloats()[0];
    float[] scaled = new float[gradient.length];
    for (int i = 0; i < scaled.length; i++) {
      scaled[i] = factor * gradient[i];
    }
    gradients.add(0, Tensor.of(device, scaled, scaled.length));
  }
}
