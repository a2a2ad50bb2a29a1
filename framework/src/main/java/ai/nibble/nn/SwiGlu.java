package ai.nibble.nn;

import ai.nibble.autograd.Function;
import ai.nibble.autograd.Gradients;
import ai.nibble.tensor.Ops;
import ai.nibble.tensor.Scope;
import ai.nibble.tensor.Tensor;

/**
 * The gated activation {@code silu(gate) ⊙ up} (Shazeer 2020) of {@code [N, 2·intermediate]}, gate
 * left and up right. Saves its input.
 */
public final class SwiGlu extends Function {
  private Tensor gateUp;

  @Override
  protected Tensor[] forward(Tensor[] inputs) {
    gateUp = save(inputs[0]);
    Tensor h = Tensor.empty(inputs[0].dtype(), inputs[0].size(0), inputs[0].size(1) / 2);
    try (Scope scope = new Scope()) {
      Ops.silu(h, half(scope, inputs[0], 0));
      Ops.mul(h, h, half(scope, inputs[0], 1));
    }
    return new Tensor[] {h};
  }

  /** {@code dup = dh ⊙ silu(gate)}; {@code dgate = dh ⊙ up ⊙ silu'(gate)}. */
  @Override
  protected void backward(Tensor[] gradOutputs, Gradients gradients) {
    Tensor dh = gradOutputs[0];
    Tensor result = Tensor.empty(gateUp.dtype(), gateUp.shape());
    try (Scope scope = new Scope()) {
      Tensor gate = half(scope, gateUp, 0);
      Tensor dGate = half(scope, result, 0);
      Tensor dUp = half(scope, result, 1);
      Ops.silu(dUp, gate);
      Ops.mul(dUp, dUp, dh);
      Tensor product = scope.own(Tensor.empty(dh.dtype(), dh.shape()));
      Ops.mul(product, dh, half(scope, gateUp, 1));
      Ops.siluBackward(dGate, product, gate);
    }
    gradients.add(0, result);
  }

  private static Tensor half(Scope scope, Tensor both, int index) {
    long width = both.size(1) / 2;
    return scope.own(both.narrow(1, index * width, width));
  }
}
