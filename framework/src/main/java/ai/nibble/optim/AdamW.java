package ai.nibble.optim;

import ai.nibble.InvalidInputException;
import ai.nibble.nn.ParameterSet;
import ai.nibble.tensor.KernelLaunchers;
import ai.nibble.tensor.Parallel;
import java.nio.FloatBuffer;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Adam with decoupled weight decay over one flat float32 buffer.
 *
 * <p>Update {@code t} at rate {@code lr}: {@code p ← p·(1 − lr·λ)}, {@code m ← m + (1−β1)(g − m)},
 * {@code v ← β2·v + (1−β2)g²}, {@code p ← p − lr/(1−β1^t) · m / (√v/√(1−β2^t) + eps)}, in float32,
 * with the bits of {@code torch.optim.AdamW} on a CPU with AVX2 wherever its square root is
 * correctly rounded (MKL's may be one ulp off). State: two float32 values a parameter, {@code
 * exp_avg} and {@code exp_avg_sq}. Source: Loshchilov and Hutter 2019, algorithm 2.
 */
public final class AdamW implements HostOptimizer {
  static final String EXP_AVG = "exp_avg";
  static final String EXP_AVG_SQ = "exp_avg_sq";

  private final AdamWConfig config;
  private final List<ParameterRange> ranges;
  private final int elements;
  private final FloatBuffer expAvg;
  private final FloatBuffer expAvgSq;
  private long step;

  /**
   * AdamW where the parameters are.
   *
   * @param ranges cover the flat buffer from 0 without gap or overlap, in order
   */
  public static Optimizer over(
      ParameterSet parameters, AdamWConfig config, List<ParameterRange> ranges) {
    return KernelLaunchers.serves(parameters.values().device())
        ? new DeviceAdamW(config, ranges, parameters)
        : new AdamW(config, ranges);
  }

  /** One range: the step's own rate, the configured decay. */
  public AdamW(AdamWConfig config, int elements) {
    this(config, List.of(new ParameterRange(0, elements, 1, config.weightDecay())));
  }

  /**
   * @param ranges cover the flat buffer from 0 without gap or overlap, in order
   */
  public AdamW(AdamWConfig config, List<ParameterRange> ranges) {
    this.config = config;
    this.ranges = List.copyOf(ranges);
    int covered = 0;
    for (ParameterRange range : this.ranges) {
      if (range.begin() != covered) {
        throw new IllegalArgumentException(
            "parameter range begins at " + range.begin() + ", expected " + covered);
      }
      covered = range.end();
    }
    this.elements = covered;
    this.expAvg = FlatFloats.allocate(elements);
    this.expAvgSq = FlatFloats.allocate(elements);
  }

  @Override
  public void step(FloatBuffer params, FloatBuffer grads, double lr) {
    FlatFloats.requireLength("params", params, elements);
    FlatFloats.requireLength("grads", grads, elements);
    if (!(lr >= 0 && lr < Double.POSITIVE_INFINITY)) {
      throw new IllegalArgumentException(
          "learning rate is " + lr + ", expected at least 0 and finite");
    }
    step++;
    for (ParameterRange range : ranges) {
      AdamWUpdate update =
          AdamWUpdate.of(config, range.weightDecay(), lr * range.lrMultiplier(), step);
      int offset = range.begin();
      Parallel.forRanges(
          range.end() - offset,
          FlatFloats.GRAIN,
          (begin, end) -> apply(update, params, grads, offset + (int) begin, offset + (int) end));
    }
  }

  private void apply(
      AdamWUpdate update, FloatBuffer params, FloatBuffer grads, int begin, int end) {
    int chunk = Math.min(FlatFloats.CHUNK, end - begin);
    float[] p = new float[chunk];
    float[] g = new float[chunk];
    float[] m = new float[chunk];
    float[] v = new float[chunk];
    for (int at = begin; at < end; at += chunk) {
      int n = Math.min(chunk, end - at);
      params.get(at, p, 0, n);
      grads.get(at, g, 0, n);
      expAvg.get(at, m, 0, n);
      expAvgSq.get(at, v, 0, n);
      update.fused(p, g, m, v, n);
      params.put(at, p, 0, n);
      expAvg.put(at, m, 0, n);
      expAvgSq.put(at, v, 0, n);
    }
  }

  @Override
  public OptimizerState state() {
    Map<String, FloatBuffer> buffers = new LinkedHashMap<>();
    buffers.put(EXP_AVG, expAvg.duplicate());
    buffers.put(EXP_AVG_SQ, expAvgSq.duplicate());
    return new OptimizerState(step, buffers);
  }

  @Override
  public void restore(OptimizerState saved) {
    requireState(saved, elements);
    FlatFloats.copy(expAvg, saved.buffers().get(EXP_AVG));
    FlatFloats.copy(expAvgSq, saved.buffers().get(EXP_AVG_SQ));
    step = saved.step();
  }

  /** Refuses a saved state that is not AdamW's over so many values. */
  static void requireState(OptimizerState saved, int elements) {
    List<String> problems = new ArrayList<>();
    List.of(EXP_AVG, EXP_AVG_SQ)
        .forEach(
            name -> {
              FloatBuffer buffer = saved.buffers().get(name);
              if (buffer == null) {
                problems.add(
                    "saved optimizer state has "
                        + saved.buffers().keySet()
                        + ", expected '"
                        + name
                        + "' as well: resume with the optimizer that saved it");
              } else if (buffer.limit() != elements) {
                problems.add(
                    "saved optimizer state '"
                        + name
                        + "' holds "
                        + buffer.limit()
                        + " values, expected "
                        + elements
                        + ": resume with the adapter settings that saved it");
              }
            });
    if (!problems.isEmpty()) {
      throw new InvalidInputException(problems);
    }
  }
}
