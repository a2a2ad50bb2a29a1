package ai.nibble.cuda.composed;

import ai.nibble.tensor.Aten;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.KernelArguments;
import ai.nibble.tensor.Tensor;

/**
 * The arithmetic of {@code adamw.cuh}, with its constants.
 *
 * <p>Fused multiply-adds go by way of float64: the product is exact there, so that of two roundings
 * only the second one counts, but for one sum in some 2²⁹ that the first one brings half way
 * between two float32.
 */
record AdamW(
    float decay,
    float weight1,
    float beta2,
    float weight2,
    float correction2,
    float eps,
    float negativeStepSize) {

  static AdamW next(KernelArguments arguments) {
    return new AdamW(
        arguments.real(),
        arguments.real(),
        arguments.real(),
        arguments.real(),
        arguments.real(),
        arguments.real(),
        arguments.real());
  }

  /** New values of a parameter and its moments, float32. */
  record Updated(Tensor param, Tensor first, Tensor second) {}

  /** Of float32 tensors of one shape; the gradient is clipped. */
  Updated update(Aten at, Tensor param, Tensor grad, Tensor first, Tensor second) {
    Tensor change = at.sub(grad, first);
    Tensor m =
        weight1 < 0.5f
            ? at.fma(at.number(change, weight1), change, first)
            : at.fma(at.number(change, weight1 - 1), change, grad);
    Tensor v = at.fma(at.mul(grad, weight2), grad, at.mul(second, beta2));
    Tensor denominator = at.add(at.div(root(at, v), correction2), eps);
    Tensor step = at.div(at.mul(m, negativeStepSize), denominator);
    return new Updated(at.add(at.mul(param, decay), step), m, v);
  }

  /** Rounded to nearest by way of float64: libtorch's root of float32 is not on every device. */
  private static Tensor root(Aten at, Tensor x) {
    try (Aten wide = new Aten()) {
      return at.own(wide.map("sqrt", wide.doubles(x)).to(DType.FLOAT32));
    }
  }
}
