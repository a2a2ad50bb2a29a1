package ai.nibble.nn;

import ai.nibble.autograd.Function;
import ai.nibble.autograd.Gradients;
import ai.nibble.cuda.CrossEntropyKernels;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Device;
import ai.nibble.tensor.Ops;
import ai.nibble.tensor.Scope;
import ai.nibble.tensor.Tensor;
import java.util.List;
import java.util.Optional;
import java.util.function.DoubleUnaryOperator;

/**
 * The output head and the cross-entropy after it, for rows of hidden states in chunks, so that the
 * logits of all positions never exist at once. The gradients by the hidden states and by a trained
 * head are made in the same sweep, and only they are saved.
 *
 * <p>Input: hidden states {@code [M, hidden]} of the positions that carry loss. Output: float32
 * {@code [1]}, the sum of the negative log-likelihoods divided by the normaliser.
 */
public final class LinearCrossEntropy extends Function {
  private final Head head;
  private final HeadSweep sweep;
  private final double normalizer;
  private final int rows;
  private Tensor gradient;
  private List<Tensor> headGradients = List.of();
  private double lossSum;

  /**
   * @param head {@code [vocabulary, hidden]}
   * @param targets the right token of each row
   * @param normalizer what the summed loss is divided by: the loss tokens of the whole optimizer
   *     step, of which this micro-batch may be a part
   */
  public LinearCrossEntropy(
      Weight head, int[] targets, double normalizer, Precision precision, Workspace work) {
    this(Head.of(head), targets, normalizer, precision, work, new LogitCap(LogitCap.NONE));
  }

  /** As above, of a head that may carry an adapter and of logits with a soft cap. */
  public LinearCrossEntropy(
      Head head,
      int[] targets,
      double normalizer,
      Precision precision,
      Workspace work,
      LogitCap cap) {
    this.head = head;
    this.sweep = new HeadSweep(head, targets.clone(), precision, work, cap);
    this.rows = targets.length;
    this.normalizer = normalizer;
  }

  /**
   * Sum of the negative log-likelihoods in nats, after forward; waits for a device.
   *
   * @param value the function's output
   */
  public double lossSum(Tensor value) {
    return isKnown(value) ? lossSum : value.item() * normalizer;
  }

  /**
   * The same from the function's output, once that has been read; empty where it is known already.
   *
   * @param value the function's output
   */
  public Optional<DoubleUnaryOperator> lossSumLater(Tensor value) {
    return isKnown(value) ? Optional.empty() : Optional.of(read -> read * normalizer);
  }

  private static boolean isKnown(Tensor value) {
    return value.device().isCpu() && !Kernels.serve(value);
  }

  /**
   * What the loss of so many rows holds: their gradient, which is made in forward and passed on,
   * the logits of a chunk, and the head in the product's dtype where it is held in another.
   *
   * @param rows with loss
   * @param training whether a backward follows
   */
  public static Footprint footprint(
      Extent e, int rows, int hidden, int vocabulary, TableShape head, boolean training) {
    long learned = training ? learned(e, hidden, vocabulary, head) : 0;
    Footprint f =
        Footprint.of(e.bytes(DType.FLOAT32, 1))
            .saving((training ? e.compute(rows, hidden) : 0) + learned)
            .inForward(HeadSweep.held(e, rows, hidden, vocabulary, head, training));
    return HeadSweep.using(f, e, rows, hidden, vocabulary, head, training);
  }

  /** Gradients by the head's parameters. */
  private static long learned(Extent e, int hidden, int vocabulary, TableShape head) {
    if (head.trained()) {
      return e.bytes(DType.FLOAT32, vocabulary, hidden);
    }
    if (head.rank() > 0) {
      return e.bytes(DType.FLOAT32, head.rank(), hidden)
          + e.bytes(DType.FLOAT32, vocabulary, head.rank());
    }
    return head.rows() > 0 ? e.bytes(DType.FLOAT32, head.rows(), hidden) : 0;
  }

  @Override
  protected boolean hasParameters() {
    return head.isTrained();
  }

  @Override
  protected Tensor[] forward(Tensor[] inputs) {
    Tensor hidden = inputs[0];
    try (Scope scope = new Scope()) {
      Tensor grads =
          isRecording() ? scope.empty(hidden.device(), hidden.dtype(), hidden.shape()) : null;
      if (isRecording()) {
        headGradients = head.parameters().stream().map(p -> keep(zerosLike(p.grad()))).toList();
      }
      HeadSweep.Wanted wanted = new HeadSweep.Wanted(grads, headGradients, 1 / normalizer, null);
      Tensor all = scope.own(sweep.run(hidden, wanted));
      if (isRecording()) {
        gradient = save(grads);
      }
      return new Tensor[] {Kernels.serve(hidden) ? meanByKernels(all) : meanInJava(all)};
    }
  }

  private static Tensor zerosLike(Tensor gradient) {
    return Tensor.empty(gradient.device(), DType.FLOAT32, gradient.shape()).zero();
  }

  private Tensor meanInJava(Tensor all) {
    float[] values = all.toFloats();
    lossSum = 0;
    for (int begin = 0; begin < rows; begin += HeadSweep.chunk(false)) {
      double sum = 0; // of a chunk, so that the rounding of a long batch's sum stays small
      for (int r = begin; r < Math.min(rows, begin + HeadSweep.chunk(false)); r++) {
        sum += values[r];
      }
      lossSum += sum;
    }
    return Tensor.of(all.device(), new float[] {(float) (lossSum / normalizer)}, 1);
  }

  private Tensor meanByKernels(Tensor all) {
    try (Scope scope = new Scope()) {
      Device device = all.device();
      Tensor sum = scope.empty(device, DType.FLOAT64, 1).zero();
      CrossEntropyKernels.sum(sum, all);
      Tensor factor = scope.own(Tensor.of(device, 1 / normalizer));
      return Ops.mul(sum, sum, factor).to(DType.FLOAT32);
    }
  }

  @Override
  protected void backward(Tensor[] gradOutputs, Gradients gradients) {
    float factor = gradOutputs[0].toFloats()[0];
    for (int p = 0; p < headGradients.size(); p++) {
      WeightGradients.add(head.parameters().get(p).grad(), headGradients.get(p), factor);
    }
    if (factor == 1) {
      gradients.pass(0, gradient);
      return;
    }
    Device device = gradient.device();
    try (Tensor scalar = Tensor.of(device, new float[] {factor}, 1);
        Tensor typed = scalar.to(gradient.dtype())) {
      Tensor scaled = Tensor.empty(device, gradient.dtype(), gradient.shape());
      gradients.add(0, Ops.mul(scaled, gradient, typed));
    }
  }
}
