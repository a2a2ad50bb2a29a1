package ai.nibble.cuda.composed;

import ai.nibble.tensor.Aten;
import ai.nibble.tensor.ComposedKernel;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.KernelArguments;
import ai.nibble.tensor.Tensor;
import java.util.Map;

/** The kernels of {@code gated.cu}, by their formulas. */
public final class Gates {
  /** By name. */
  public static final Map<String, ComposedKernel> KERNELS =
      Map.of(
          "swiglu_forward", arguments -> forward(arguments, Gates::silu),
          "swiglu_backward", arguments -> backward(arguments, Gates::silu),
          "geglu_forward", arguments -> forward(arguments, Gates::gelu),
          "geglu_backward", arguments -> backward(arguments, Gates::gelu));

  private static final float BETA = 0.7978845608028654f;
  private static final float KAPPA = 0.044715f;

  private Gates() {}

  /**
   * An activation at some points.
   *
   * @param slope what {@link #slope} makes of the upstream gradient
   */
  private record Activated(Tensor value, Slope slope) {}

  /** The product of a gradient and the activation's slope. */
  @FunctionalInterface
  private interface Slope {
    Tensor times(Tensor gradient);
  }

  @FunctionalInterface
  private interface Activation {
    Activated at(Aten at, Tensor x);
  }

  /** {@code x·sigmoid(x)}. */
  private static Activated silu(Aten at, Tensor x) {
    Tensor inverse = at.add(at.map("exp", at.map("neg", x)), 1);
    return new Activated(
        at.div(x, inverse),
        gradient -> {
          Tensor s = at.map("reciprocal", inverse);
          Tensor rest = at.add(at.mul(x, at.sub(1, s)), 1);
          return at.mul(at.mul(gradient, s), rest);
        });
  }

  /** {@code x/2·(1 + tanh u)}, {@code u = √(2/π)·(x + 0.044715·x³)}. */
  private static Activated gelu(Aten at, Tensor x) {
    Tensor square = at.mul(x, x);
    Tensor u = at.mul(at.add(x, at.mul(at.mul(square, x), KAPPA)), BETA);
    Tensor t = at.map("tanh", u);
    Tensor half = at.mul(x, 0.5);
    Tensor onePlus = at.add(t, 1);
    return new Activated(
        at.mul(half, onePlus),
        gradient -> {
          Tensor inner = at.mul(at.add(at.mul(at.mul(x, 3 * KAPPA), x), 1), BETA);
          Tensor curve = at.mul(at.mul(half, at.sub(1, at.mul(t, t))), inner);
          return at.mul(gradient, at.add(at.mul(onePlus, 0.5), curve));
        });
  }

  private static Tensor rounded(Aten at, Tensor x, DType dtype) {
    return at.floats(at.as(x, dtype));
  }

  private static void forward(KernelArguments arguments, Activation activation) {
    Tensor h = arguments.tensor(); // with the room behind its rows
    Tensor gateUp = arguments.tensor();
    long width = arguments.whole();
    Parts.ofRows(
        gateUp.size(0),
        gateUp.size(1),
        (at, begin, count) -> {
          Tensor both = at.floats(at.narrow(gateUp, 0, begin, count));
          Tensor to = at.narrow(h, 0, begin, count);
          Tensor value = activation.at(at, at.narrow(both, 1, 0, width)).value;
          Tensor act = rounded(at, value, gateUp.dtype());
          at.narrow(to, 1, 0, width).copyFrom(at.mul(act, at.narrow(both, 1, width, width)));
          at.narrow(to, 1, width, h.size(1) - width).zero();
        });
  }

  private static void backward(KernelArguments arguments, Activation activation) {
    Tensor dGateUp = arguments.tensor();
    Tensor dh = arguments.tensor();
    Tensor gateUp = arguments.skip(1).tensor();
    long width = arguments.whole();
    Parts.ofRows(
        gateUp.size(0),
        gateUp.size(1),
        (at, begin, count) -> {
          Tensor both = at.floats(at.narrow(gateUp, 0, begin, count));
          Tensor up = at.narrow(both, 1, width, width);
          Tensor d = at.floats(at.narrow(dh, 0, begin, count));
          Activated act = activation.at(at, at.narrow(both, 1, 0, width));
          Tensor dGate = act.slope.times(rounded(at, at.mul(d, up), gateUp.dtype()));
          Tensor dUp = at.mul(rounded(at, act.value, gateUp.dtype()), d);
          Tensor to = at.narrow(dGateUp, 0, begin, count);
          at.narrow(to, 1, 0, width).copyFrom(dGate);
          at.narrow(to, 1, width, width).copyFrom(dUp);
        });
  }
}
