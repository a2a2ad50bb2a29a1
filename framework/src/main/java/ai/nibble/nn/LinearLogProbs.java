package ai.nibble.nn;

import ai.nibble.autograd.Function;
import ai.nibble.autograd.Gradients;
import ai.nibble.cuda.ElementwiseKernels;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Device;
import ai.nibble.tensor.Scope;
import ai.nibble.tensor.Tensor;
import java.util.List;

/**
 * The output head and the log-probability of a token for each row of hidden states, for losses that
 * weigh tokens by what all of them come to: those on whole answers. Works in chunks, as {@link
 * LinearCrossEntropy} does.
 *
 * <p>The gradient by a row of hidden states is the row's own, times the one number that flows back
 * to it. So it is made in the same sweep, and backward multiplies each row. Only where the head is
 * trained as well backward sweeps again, since the rows' numbers are within the head's gradient.
 *
 * <p>Input: hidden states {@code [M, hidden]}. Output: float32 {@code [M]}, in nats.
 */
public final class LinearLogProbs extends Function {
  private final Head head;
  private final HeadSweep sweep;
  private Tensor gradient;
  private Tensor hidden;

  /**
   * @param head {@code [vocabulary, hidden]}
   * @param targets the token of each row whose log-probability is asked for
   */
  public LinearLogProbs(Weight head, int[] targets, Precision precision, Workspace work) {
    this(Head.of(head), targets, precision, work, new LogitCap(LogitCap.NONE));
  }

  /** As above, of a head that may carry an adapter and of logits with a soft cap. */
  public LinearLogProbs(
      Head head, int[] targets, Precision precision, Workspace work, LogitCap cap) {
    this.head = head;
    this.sweep = new HeadSweep(head, targets.clone(), precision, work, cap);
  }

  /** What the log-probabilities of so many rows hold, where a backward follows. */
  public static Footprint footprint(
      Extent e, int rows, int hidden, int vocabulary, TableShape head) {
    boolean learns = head.learns();
    Footprint f =
        Footprint.of(e.bytes(DType.FLOAT32, rows))
            .inForward(HeadSweep.held(e, rows, hidden, vocabulary, head, !learns));
    f =
        learns
            ? f.savingInput(0)
                .inBackward(
                    0,
                    HeadSweep.held(e, rows, hidden, vocabulary, head, true),
                    e.compute(rows, hidden))
            : f.saving(e.compute(rows, hidden));
    return HeadSweep.using(f, e, rows, hidden, vocabulary, head, true);
  }

  @Override
  protected boolean hasParameters() {
    return head.isTrained();
  }

  @Override
  protected Tensor[] forward(Tensor[] inputs) {
    try (Scope scope = new Scope()) {
      boolean now = isRecording() && !hasParameters();
      Tensor grads =
          now ? scope.empty(inputs[0].device(), inputs[0].dtype(), inputs[0].shape()) : null;
      if (isRecording() && hasParameters()) {
        hidden = save(inputs[0]);
      }
      // of the losses: what flows back is by their negative
      Tensor losses =
          scope.own(sweep.run(inputs[0], new HeadSweep.Wanted(grads, List.of(), -1, null)));
      gradient = now ? save(grads) : null;
      return new Tensor[] {negative(losses)};
    }
  }

  private static Tensor negative(Tensor losses) {
    if (Kernels.serve(losses)) {
      ElementwiseKernels.scale(losses, -1);
      return losses.share();
    }
    float[] values = losses.toFloats();
    for (int r = 0; r < values.length; r++) {
      values[r] = -values[r];
    }
    return Tensor.of(losses.device(), values, values.length);
  }

  @Override
  protected void backward(Tensor[] gradOutputs, Gradients gradients) {
    Tensor given = gradOutputs[0];
    Device device = (gradient != null ? gradient : hidden).device();
    try (Scope scope = new Scope()) {
      // a loss that the host computed may give its gradient there
      Tensor factors = given.device().equals(device) ? given : scope.own(given.to(device));
      if (gradient != null) {
        HeadSweep.scaleRows(gradient, factors, 0);
        gradients.pass(0, gradient);
        return;
      }
      Tensor grads = scope.empty(device, hidden.dtype(), hidden.shape());
      List<Tensor> trained = head.parameters().stream().map(Parameter::grad).toList();
      sweep.run(hidden, new HeadSweep.Wanted(grads, trained, -1, factors)).close();
      gradients.add(0, grads.share());
    }
  }
}
