package ai.nibble.nn;

import ai.nibble.autograd.Function;
import ai.nibble.autograd.Gradients;
import ai.nibble.nn.Workspace.Purpose;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Ops;
import ai.nibble.tensor.Scope;
import ai.nibble.tensor.Tensor;
import java.util.List;

/**
 * The output head by itself, for losses other than {@link LinearCrossEntropy}, which never holds
 * all logits. Saves the hidden states where the head is trained, and of capped logits as many
 * float32 values, else nothing.
 *
 * <p>Input: hidden states {@code [M, hidden]} in the compute dtype. Output: logits {@code [M,
 * vocabulary]}, float32.
 */
public final class OutputHead extends Function {
  private final Head head;
  private final Precision precision;
  private final Workspace work;
  private final LogitCap cap;
  private Tensor x;
  private Tensor tanh;

  /**
   * @param head {@code [vocabulary, hidden]}
   */
  public OutputHead(Weight head, Precision precision, Workspace work) {
    this(Head.of(head), precision, work, new LogitCap(LogitCap.NONE));
  }

  /**
   * @param cap of the logits
   */
  public OutputHead(Head head, Precision precision, Workspace work, LogitCap cap) {
    this.head = head;
    this.precision = precision;
    this.work = work;
    this.cap = cap;
  }

  @Override
  protected boolean hasParameters() {
    return head.isTrained();
  }

  @Override
  protected Tensor[] forward(Tensor[] inputs) {
    if (hasParameters()) {
      x = save(inputs[0]);
    }
    long rows = inputs[0].size(0);
    DType product = precision.product();
    long vocabulary = head.weight().outFeatures();
    try (Scope scope = new Scope();
        HeadProduct multiply = new HeadProduct(head, precision, work)) {
      Tensor input = scope.own(inProductDtype(inputs[0]));
      if (product == DType.FLOAT32) {
        Tensor logits = scope.empty(input.device(), DType.FLOAT32, rows, vocabulary);
        multiply.logits(logits, input, 0);
        return capped(logits.share());
      }
      Tensor logits = scope.own(work.get(Purpose.LOGITS, product, rows, vocabulary));
      multiply.logits(logits, input, 0);
      return capped(logits.to(DType.FLOAT32));
    }
  }

  private Tensor[] capped(Tensor logits) {
    if (!cap.isNone() && isRecording()) {
      tanh =
          keep(
              cap.tanh(
                  Tensor.empty(logits.device(), DType.FLOAT32, logits.shape()).copyFrom(logits)));
      cap.timesCap(logits, tanh);
    } else {
      cap.apply(logits);
    }
    return new Tensor[] {logits};
  }

  /** The gradient by the logits before the cap, the caller's to close. */
  private Tensor uncapped(Tensor gradient) {
    if (tanh == null) {
      return gradient.share();
    }
    Tensor before = Tensor.empty(gradient.device(), DType.FLOAT32, gradient.shape());
    return Ops.tanhBackward(before, gradient, tanh);
  }

  private Tensor inProductDtype(Tensor tensor) {
    return tensor.dtype() == precision.product() ? tensor.share() : tensor.to(precision.product());
  }

  @Override
  protected void backward(Tensor[] gradOutputs, Gradients gradients) {
    try (Scope scope = new Scope();
        HeadProduct multiply = new HeadProduct(head, precision, work)) {
      Tensor dy = scope.own(inProductDtype(scope.own(uncapped(gradOutputs[0]))));
      if (hasParameters()) {
        List<Tensor> into = head.parameters().stream().map(Parameter::grad).toList();
        multiply.addGradients(dy, scope.own(inProductDtype(x)), 0, into);
      }
      if (gradients.wanted(0)) {
        long width = head.weight().inFeatures();
        Tensor dx = scope.empty(dy.device(), precision.product(), dy.size(0), width);
        multiply.inputGradient(dx, dy, 0);
        gradients.add(0, precision.widens() ? dx.to(precision.compute()) : dx.share());
      }
    }
  }
}
