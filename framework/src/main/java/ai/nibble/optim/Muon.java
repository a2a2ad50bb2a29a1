package ai.nibble.optim;

import ai.nibble.tensor.DType;
import ai.nibble.tensor.Ops;
import ai.nibble.tensor.Scope;
import ai.nibble.tensor.Tensor;
import java.nio.FloatBuffer;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Muon (Jordan et al. 2024): steps of hidden matrices are their momentum made orthogonal, all its
 * singular values brought near 1. Vectors, embeddings and the output head are updated by {@link
 * AdamW}'s rule.
 *
 * <p>{@code b ← μb + (1−μ)g}; {@code n = (1−μ)g + μb} (Nesterov); {@code o} of five Newton-Schulz
 * iterations {@code X ← aX + (bA + cA²)X, A = XXᵀ} from {@code n/‖n‖}, in float32; {@code p ← p·(1
 * − lr·λ) − lr·0.2·√max(R, C)·o}: steps have AdamW's root mean square, so that its rates serve (Liu
 * et al. 2025, "Muon is scalable for LLM training"). {@code torch.optim.Muon} with {@code
 * adjust_lr_fn="match_rms_adamw"} but for its bfloat16 iterations. State: {@code momentum_buffer},
 * and for what AdamW updates {@code exp_avg_sq} beside it.
 */
public final class Muon extends SlotOptimizer {
  private static final double A = 3.4445;
  private static final double B = -4.7750;
  private static final double C = 2.0315;
  private static final int ITERATIONS = 5;
  private static final double EPS = 1e-7;
  private static final double RMS_OF_ADAMW = 0.2;

  private final MuonConfig config;
  private final FloatBuffer momentum;
  private final float[][] expAvgSq;

  Muon(MuonConfig config, List<ParameterSlot> slots) {
    super(slots);
    this.config = config;
    this.momentum = FlatFloats.allocate(elements());
    this.expAvgSq = new float[slots.size()][];
    for (int k = 0; k < expAvgSq.length; k++) {
      expAvgSq[k] = isHiddenMatrix(slots.get(k)) ? null : new float[slots.get(k).elements()];
    }
  }

  /** Rows of embeddings and of the head are tokens, which do not mix: no matrix in Muon's sense. */
  static boolean isHiddenMatrix(ParameterSlot slot) {
    return slot.shape().length == 2
        && !slot.name().contains("embed_tokens")
        && !slot.name().contains("lm_head");
  }

  @Override
  void update(int index, float[] params, float[] grads, double lr, long step) {
    ParameterSlot slot = slots().get(index);
    float[] buffer = new float[params.length];
    momentum.get(slot.begin(), buffer);
    if (expAvgSq[index] != null) {
      AdamWUpdate.of(config.adamW(), slot.range().weightDecay(), lr, step)
          .fused(params, grads, buffer, expAvgSq[index], params.length);
    } else {
      float mu = (float) config.momentum();
      float[] nesterov = new float[params.length];
      for (int i = 0; i < params.length; i++) {
        buffer[i] += (1 - mu) * (grads[i] - buffer[i]);
        nesterov[i] = grads[i] + mu * (buffer[i] - grads[i]);
      }
      float[] direction = orthogonal(nesterov, slot.shape()[0], slot.shape()[1]);
      double longer = Math.max(slot.shape()[0], slot.shape()[1]);
      float rate = (float) (lr * RMS_OF_ADAMW * Math.sqrt(longer));
      float keep = (float) (1 - lr * slot.range().weightDecay());
      for (int i = 0; i < params.length; i++) {
        params[i] = params[i] * keep - rate * direction[i];
      }
    }
    momentum.put(slot.begin(), buffer);
  }

  /**
   * The matrix with its singular values near 1, by Newton-Schulz iterations over the shorter side.
   *
   * @param values {@code [rows, columns]}
   */
  private static float[] orthogonal(float[] values, long rows, long columns) {
    double sum = 0;
    for (float v : values) {
      sum += (double) v * v;
    }
    float norm = (float) Math.max(Math.sqrt(sum), EPS);
    float[] scaled = new float[values.length];
    for (int i = 0; i < scaled.length; i++) {
      scaled[i] = values[i] / norm;
    }
    try (Scope scope = new Scope()) {
      Tensor given = scope.own(Tensor.of(scaled, rows, columns));
      Tensor turned = rows > columns ? scope.own(given.t()) : given;
      Tensor x = scope.own(turned.to(DType.FLOAT32));
      for (int k = 0; k < ITERATIONS; k++) {
        x = scope.own(iterate(x));
      }
      Tensor back = rows > columns ? scope.own(x.t()) : x;
      return back.toFloats();
    }
  }

  private static Tensor iterate(Tensor x) {
    long n = x.size(0);
    try (Scope scope = new Scope()) {
      Tensor a = Ops.mm(scope.own(Tensor.empty(x.dtype(), n, n)), x, scope.own(x.t()));
      Tensor polynomial = Ops.addmm(scope.own(a.to(a.dtype())), a, a, B, C);
      return Ops.addmm(x.to(x.dtype()), polynomial, x, A, 1);
    }
  }

  @Override
  public OptimizerState state() {
    Map<String, FloatBuffer> vectors = new LinkedHashMap<>();
    for (int k = 0; k < expAvgSq.length; k++) {
      if (expAvgSq[k] != null) {
        vectors.put("exp_avg_sq/" + slots().get(k).name(), FloatBuffer.wrap(expAvgSq[k]));
      }
    }
    return new OptimizerState(steps(), Map.of("momentum_buffer", momentum.duplicate()), vectors);
  }

  @Override
  void copyIn(OptimizerState saved) {
    OptimizerState own = state();
    own.buffers().forEach((name, into) -> FlatFloats.copy(into, saved.buffers().get(name)));
    own.vectors().forEach((name, into) -> FlatFloats.copy(into, saved.vectors().get(name)));
  }
}
