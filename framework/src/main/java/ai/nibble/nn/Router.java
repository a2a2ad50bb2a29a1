package ai.nibble.nn;

import ai.nibble.autograd.Function;
import ai.nibble.autograd.Gradients;
import ai.nibble.cuda.ExpertKernels;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Device;
import ai.nibble.tensor.Ops;
import ai.nibble.tensor.Rows;
import ai.nibble.tensor.Tensor;

/**
 * Chooses each token's experts (Shazeer et al. 2017): those of the highest softmax of the router's
 * logits, whose weights are these probabilities, or their shares of the sum of them. The choice has
 * no gradient, the weights have. Saves the probabilities. On a device a kernel chooses, and the
 * host waits for the choice, since the products of the experts depend on it.
 *
 * <p>Input: logits {@code [N, E]} in the compute dtype. Output: float32 {@code [N, k]}, the weights
 * of a token's experts in {@link Routing}'s order.
 */
public final class Router extends Function {
  private final int perToken;
  private final boolean sumToOne;
  private final boolean rounds;
  private Routing routing;
  private DType dtype;
  private Tensor probabilities;
  private Tensor chosen;

  /**
   * @param perToken experts of each token, k
   * @param sumToOne whether a token's weights are divided by their sum
   * @param rounds whether weights are rounded to the dtype of the logits
   */
  public Router(int perToken, boolean sumToOne, boolean rounds) {
    this.perToken = perToken;
    this.sumToOne = sumToOne;
    this.rounds = rounds;
  }

  /** Weights, and for backward the probabilities of all experts. */
  public static Footprint footprint(Extent extent, int experts, int perToken) {
    long n = extent.tokens();
    long all = extent.bytes(DType.FLOAT32, n, experts);
    return Footprint.of(extent.bytes(DType.FLOAT32, n, perToken))
        .saving(all + (extent.kernels() ? extent.bytes(DType.INT32, n, perToken) : 0))
        .inBackward(0, all, extent.compute(n, experts));
  }

  /** What was chosen, after forward. */
  Routing routing() {
    return routing;
  }

  @Override
  protected Tensor[] forward(Tensor[] inputs) {
    Tensor logits = inputs[0];
    dtype = logits.dtype();
    Tensor all = keep(Tensor.empty(logits.device(), DType.FLOAT32, logits.shape()));
    all.copyFrom(logits);
    Ops.softmax(all, all);
    probabilities = all;
    long n = logits.size(0);
    if (Kernels.serve(logits)) {
      return new Tensor[] {chosenByKernels(n, logits.dtype())};
    }
    routing = Routing.of(all, perToken);
    Tensor weights = Tensor.empty(logits.device(), DType.FLOAT32, n, perToken);
    try (Rows from = Rows.reading(all, 0, n);
        Rows to = Rows.writing(weights, 0, n)) {
      float[] row = new float[from.width()];
      float[] own = new float[perToken];
      for (int t = 0; t < n; t++) {
        from.load(t, row);
        float divisor = divisor(row, t);
        for (int j = 0; j < perToken; j++) {
          own[j] = row[routing.experts()[t * perToken + j]] / divisor;
        }
        to.store(t, own);
      }
    } catch (RuntimeException e) {
      weights.close();
      throw e;
    }
    return new Tensor[] {rounds ? rounded(weights, logits.dtype()) : weights};
  }

  private Tensor chosenByKernels(long n, DType compute) {
    chosen = keep(Tensor.empty(probabilities.device(), DType.INT32, n, perToken));
    Tensor weights = Tensor.empty(probabilities.device(), DType.FLOAT32, n, perToken);
    try {
      ExpertKernels.choose(chosen, weights, probabilities, sumToOne);
      try (Tensor host = chosen.to(Device.CPU)) {
        int[] experts = new int[Math.toIntExact(host.numel())];
        host.bytes(0, experts.length * Integer.BYTES).asIntBuffer().get(experts);
        routing = Routing.of(experts, (int) n, (int) probabilities.size(1), perToken);
      }
    } catch (RuntimeException e) {
      weights.close();
      throw e;
    }
    return rounds ? rounded(weights, compute) : weights;
  }

  private static Tensor rounded(Tensor weights, DType dtype) {
    if (dtype == DType.FLOAT32) {
      return weights;
    }
    try (weights;
        Tensor typed = weights.to(dtype)) {
      return typed.to(DType.FLOAT32);
    }
  }

  /** What a token's probabilities are divided by. */
  private float divisor(float[] row, int token) {
    if (!sumToOne) {
      return 1;
    }
    float sum = 0;
    for (int j = 0; j < perToken; j++) {
      sum += row[routing.experts()[token * perToken + j]];
    }
    return sum;
  }

  /**
   * With p the probabilities, S a token's divisor, w its weights: {@code dp = (dw − Σ w·dw)/S} of
   * the chosen, or dw without a divisor; {@code dl = p ⊙ (dp − Σ p·dp)} of all.
   */
  @Override
  protected void backward(Tensor[] gradOutputs, Gradients gradients) {
    Tensor dWeights = gradOutputs[0];
    long n = probabilities.size(0);
    int count = (int) probabilities.size(1);
    try (Tensor dLogits =
        Tensor.empty(probabilities.device(), DType.FLOAT32, probabilities.shape())) {
      if (chosen != null) {
        ExpertKernels.chooseBackward(dLogits, dWeights, chosen, probabilities, sumToOne);
        gradients.add(0, dLogits.to(dtype));
        return;
      }
      try (Rows from = Rows.reading(probabilities, 0, n);
          Rows grads = Rows.reading(dWeights, 0, n);
          Rows to = Rows.writing(dLogits, 0, n)) {
        float[] p = new float[count];
        float[] dw = new float[perToken];
        for (int t = 0; t < n; t++) {
          from.load(t, p);
          grads.load(t, dw);
          to.store(t, gradient(p, dw, t));
        }
      }
      gradients.add(0, dLogits.to(dtype));
    }
  }

  private float[] gradient(float[] p, float[] dw, int token) {
    float divisor = divisor(p, token);
    float inner = 0;
    for (int j = 0; j < perToken && sumToOne; j++) {
      inner += dw[j] * p[routing.experts()[token * perToken + j]] / divisor;
    }
    float[] dp = new float[p.length];
    float sum = 0;
    for (int j = 0; j < perToken; j++) {
      int e = routing.experts()[token * perToken + j];
      dp[e] = (dw[j] - inner) / divisor;
      sum += p[e] * dp[e];
    }
    for (int e = 0; e < p.length; e++) {
      dp[e] = p[e] * (dp[e] - sum);
    }
    return dp;
  }
}
