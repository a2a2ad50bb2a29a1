package ai.nibble.nn;

import ai.nibble.autograd.Function;
import ai.nibble.autograd.Gradients;
import ai.nibble.cuda.CrossEntropyKernels;
import ai.nibble.nn.Workspace.Purpose;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Device;
import ai.nibble.tensor.Ops;
import ai.nibble.tensor.Parallel;
import ai.nibble.tensor.Rows;
import ai.nibble.tensor.Scope;
import ai.nibble.tensor.Tensor;
import java.nio.FloatBuffer;
import java.util.Arrays;

/**
 * The output head and the cross-entropy after it, for rows of hidden states in chunks, so that the
 * logits of all positions never exist at once. The gradients by the hidden states and by a trained
 * head are made in the same sweep, and only they are saved.
 *
 * <p>Input: hidden states {@code [M, hidden]} of the positions that carry loss. Output: float32
 * {@code [1]}, the sum of the negative log-likelihoods divided by the normaliser.
 */
public final class LinearCrossEntropy extends Function {
  private static final int ROWS_A_CHUNK = 512;

  /** Fewer starve a GPU's products. */
  private static final int ROWS_A_DEVICE_CHUNK = 2048;

  private final Weight head;
  private final int[] targets;
  private final double normalizer;
  private final Precision precision;
  private final Workspace work;
  private final LogitCap cap;
  private Tensor gradient;
  private Tensor headGradient;
  private final double[] losses;
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
    this.targets = targets.clone();
    this.losses = new double[targets.length];
    this.normalizer = normalizer;
    this.precision = precision;
    this.work = work;
    this.cap = cap;
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
    return losses.clone();
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
    long chunk = Math.min(rows, e.kernels() ? ROWS_A_DEVICE_CHUNK : ROWS_A_CHUNK);
    long head = training && trained ? e.bytes(DType.FLOAT32, vocabulary, hidden) : 0;
    long losses = e.kernels() ? 2 * e.bytes(DType.FLOAT32, rows) : 0;
    int copies = e.precision().widens() ? training ? 2 : 1 : 0;
    Footprint f =
        Footprint.of(e.bytes(DType.FLOAT32, 1))
            .saving((training ? e.compute(rows, hidden) : 0) + head)
            .inForward(losses + copies * e.product(chunk, hidden))
            .using(Purpose.LOGITS, e.product(chunk, vocabulary));
    if (!HeadWeight.isReady(held, e.precision())) {
      f = f.using(Purpose.HEAD, e.product(vocabulary, hidden));
    }
    return head > 0 && e.precision().product() != DType.FLOAT32
        ? f.using(Purpose.WEIGHT_GRAD, e.product(vocabulary, hidden))
        : f;
  }

  @Override
  protected boolean hasParameters() {
    return head.parameter().isPresent();
  }

  @Override
  protected Tensor[] forward(Tensor[] inputs) {
    Tensor hidden = inputs[0];
    if (hidden.size(0) != targets.length) {
      throw new IllegalArgumentException(targets.length + " targets for hidden states " + hidden);
    }
    boolean kernels = Kernels.serve(hidden);
    if (kernels && !cap.isNone()) {
      throw new IllegalStateException("cross-entropy of capped logits has no kernel");
    }
    try (Scope scope = new Scope()) {
      Tensor grads =
          isRecording() ? scope.empty(hidden.device(), hidden.dtype(), hidden.shape()) : null;
      Tensor weight = scope.own(new HeadWeight(head, precision).open(work));
      if (isRecording() && hasParameters()) {
        headGradient =
            keep(Tensor.empty(head.device(), DType.FLOAT32, head.outFeatures(), head.inFeatures()));
        headGradient.zero();
      }
      Tensor value = kernels ? byKernels(hidden, weight, grads) : inJava(hidden, weight, grads);
      if (isRecording()) {
        gradient = save(grads);
      }
      return new Tensor[] {value};
    }
  }

  private Tensor inJava(Tensor hidden, Tensor weight, Tensor grads) {
    lossSum = 0;
    for (int begin = 0; begin < targets.length; begin += ROWS_A_CHUNK) {
      int end = Math.min(targets.length, begin + ROWS_A_CHUNK);
      lossSum += chunk(hidden, weight, grads, begin, end);
    }
    return Tensor.of(new float[] {(float) (lossSum / normalizer)}, 1);
  }

  /** Nothing is read back: the device need not be waited for. */
  private Tensor byKernels(Tensor hidden, Tensor weight, Tensor grads) {
    Device device = hidden.device();
    try (Scope scope = new Scope()) {
      Tensor all = scope.empty(device, DType.FLOAT32, targets.length);
      Tensor right = scope.own(Tensor.ofInts(device, targets));
      for (int begin = 0; begin < targets.length; begin += ROWS_A_DEVICE_CHUNK) {
        int rows = Math.min(targets.length - begin, ROWS_A_DEVICE_CHUNK);
        try (Scope chunk = new Scope()) {
          Tensor input = chunk.own(hidden.narrow(0, begin, rows));
          Tensor logits =
              chunk.own(work.get(Purpose.LOGITS, precision.product(), rows, head.outFeatures()));
          Ops.mm(logits, input, chunk.own(weight.t()));
          CrossEntropyKernels.forward(
              chunk.own(all.narrow(0, begin, rows)),
              logits,
              chunk.own(right.narrow(0, begin, rows)),
              1 / normalizer,
              grads != null);
          if (grads != null) {
            Ops.mm(chunk.own(grads.narrow(0, begin, rows)), logits, weight);
          }
          if (headGradient != null) {
            WeightGradients.addProduct(headGradient, logits, input, work);
          }
        }
      }
      if (!isRecording()) {
        float[] values = all.toFloats();
        Arrays.setAll(losses, r -> values[r]);
      }
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

  /** Loss of rows {@code [begin, end)}, and their part of the gradient. */
  private double chunk(Tensor hidden, Tensor weight, Tensor grads, int begin, int end) {
    int rows = end - begin;
    try (Scope scope = new Scope()) {
      Tensor part = scope.own(hidden.narrow(0, begin, rows));
      Tensor input = precision.widens() ? scope.own(part.to(precision.product())) : part;
      Tensor logits =
          scope.own(work.get(Purpose.LOGITS, precision.product(), rows, head.outFeatures()));
      Ops.mm(logits, input, scope.own(weight.t()));
      double loss = softmaxes(logits, begin, grads != null);
      if (grads != null) {
        Tensor out = scope.own(grads.narrow(0, begin, rows));
        Tensor product =
            precision.widens()
                ? scope.own(Tensor.empty(precision.product(), rows, head.inFeatures()))
                : out;
        Ops.mm(product, logits, weight);
        if (headGradient != null) {
          WeightGradients.addProduct(headGradient, logits, input, work);
        }
        if (product != out) {
          out.copyFrom(product);
        }
      }
      return loss;
    }
  }

  /**
   * The loss of a chunk's rows; where gradients are wanted, these take the logits' place. A few
   * rows at a time from start to end, so that they are read from memory once.
   */
  private double softmaxes(Tensor logits, int begin, boolean gradient) {
    int count = (int) logits.size(0);
    Parallel.forRanges(
        count,
        Rows.grain(2 * logits.size(1)),
        (first, last) -> {
          try (Tensor rows = logits.narrow(0, first, last - first);
              Tensor logProbs = rows.to(DType.FLOAT32);
              Tensor tanh = cap.isNone() ? null : cap.tanh(rows.to(DType.FLOAT32))) {
            if (tanh != null) {
              cap.timesCap(logProbs, tanh);
            }
            Ops.logSoftmax(logProbs, logProbs);
            FloatBuffer values = logProbs.floats();
            int width = (int) logProbs.size(1);
            for (int r = 0; r < last - first; r++) {
              losses[begin + (int) first + r] = -values.get(r * width + target(begin, first, r));
            }
            if (gradient) {
              Ops.exp(logProbs, logProbs);
              for (int r = 0; r < last - first; r++) {
                finishGradient(values, r * width, width, target(begin, first, r));
              }
              if (tanh != null) {
                Ops.tanhBackward(logProbs, logProbs, tanh);
              }
              rows.copyFrom(logProbs);
            }
          }
        });
    double sum = 0;
    for (int r = begin; r < begin + count; r++) {
      sum += losses[r];
    }
    return sum;
  }

  private int target(int chunk, long first, int row) {
    return targets[chunk + (int) first + row];
  }

  /** Subtracts one at the target of a row of probabilities and divides by the normaliser. */
  private void finishGradient(FloatBuffer values, int at, int width, int target) {
    float scale = (float) (1 / normalizer);
    float[] row = new float[width];
    values.get(at, row);
    row[target] -= 1;
    for (int c = 0; c < width; c++) {
      row[c] *= scale;
    }
    values.put(at, row);
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
