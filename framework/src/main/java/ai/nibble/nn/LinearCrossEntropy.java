package ai.nibble.nn;

import ai.nibble.autograd.Function;
import ai.nibble.autograd.Gradients;
import ai.nibble.cuda.CrossEntropyKernels;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Device;
import ai.nibble.tensor.Ops;
import ai.nibble.tensor.Scope;
import ai.nibble.tensor.Tensor;

/**
 * The output head and the cross-entropy after it, for rows of hidden states in chunks, so that the
 * logits of all positions never exist at once. The gradients by the hidden states and by a trained
 * head are made in the same sweep, and only they are saved.
 *
 * <p>Input: hidden states {@code [M, hidden]} of the positions that carry loss. Output: float32
 * {@code [1]}, the sum of the negative log-likelihoods divided by the normaliser.
 */
public final class LinearCrossEntropy extends Function {
  private final Weight head;
  private final HeadSweep sweep;
  private final double normalizer;
  private final int rows;
  private Tensor gradient;
  private Tensor headGradient;
  private float[] losses = {};
  private double lossSum;

  /**
   * @param head {@code [vocabulary, hidden]}
   * @param targets the right token of each row
   * @param normalizer what the summed loss is divided by: the loss tokens of the whole optimizer
   *     step, of which this micro-batch may be a part
   */
  public LinearCrossEntropy(
      Weight head, int[] targets, double normalizer, Precision precision, Workspace work) {
    this(head, targets, normalizer, precision, work, new LogitCap(LogitCap.NONE));
  }

  /** As above, of logits with a soft cap. */
  public LinearCrossEntropy(
      Weight head,
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
    return value.device().isCpu() && !Kernels.serve(value) ? lossSum : value.item() * normalizer;
  }

  /** Each row's negative log-likelihood in nats, after a forward that was not recorded. */
  public double[] losses() {
    double[] wide = new double[losses.length];
    for (int r = 0; r < wide.length; r++) {
      wide[r] = losses[r];
    }
    return wide;
  }

  /**
   * What the loss of so many rows holds: their gradient, which is made in forward and passed on,
   * the logits of a chunk, and the head in the product's dtype where it is held in another.
   *
   * @param rows with loss
   * @param held the head's dtype
   * @param trained whether the head is
   * @param training whether a backward follows
   */
  public static Footprint footprint(
      Extent e,
      int rows,
      int hidden,
      int vocabulary,
      DType held,
      boolean trained,
      boolean training) {
    boolean headGradient = training && trained;
    long head = headGradient ? e.bytes(DType.FLOAT32, vocabulary, hidden) : 0;
    Footprint f =
        Footprint.of(e.bytes(DType.FLOAT32, 1))
            .saving((training ? e.compute(rows, hidden) : 0) + head)
            .inForward(HeadSweep.held(e, rows, hidden, vocabulary, training));
    return HeadSweep.using(f, e, rows, hidden, vocabulary, held, headGradient);
  }

  @Override
  protected boolean hasParameters() {
    return head.parameter().isPresent();
  }

  @Override
  protected Tensor[] forward(Tensor[] inputs) {
    Tensor hidden = inputs[0];
    try (Scope scope = new Scope()) {
      Tensor grads =
          isRecording() ? scope.empty(hidden.device(), hidden.dtype(), hidden.shape()) : null;
      if (isRecording() && hasParameters()) {
        headGradient =
            keep(Tensor.empty(head.device(), DType.FLOAT32, head.outFeatures(), head.inFeatures()));
        headGradient.zero();
      }
      Tensor all =
          scope.own(
              sweep.run(hidden, new HeadSweep.Wanted(grads, headGradient, 1 / normalizer, null)));
      if (isRecording()) {
        gradient = save(grads);
      } else {
        losses = all.toFloats();
      }
      return new Tensor[] {Kernels.serve(hidden) ? meanByKernels(all) : meanInJava(all)};
    }
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
      Tensor divisor = scope.empty(device, DType.FLOAT64, 1);
      try (Tensor host = Tensor.empty(DType.FLOAT64, 1)) {
        host.bytes(0, Double.BYTES).putDouble(0, 1 / normalizer);
        divisor.copyFrom(host);
      }
      return Ops.mul(sum, sum, divisor).to(DType.FLOAT32);
    }
  }

  @Override
  protected void backward(Tensor[] gradOutputs, Gradients gradients) {
    float factor = gradOutputs[0].toFloats()[0];
    if (headGradient != null) {
      WeightGradients.add(head.parameter().orElseThrow().grad(), headGradient, factor);
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
