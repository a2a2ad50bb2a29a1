package ai.nibble.lora;

import ai.nibble.model.Current;
import ai.nibble.model.WeightSource;
import ai.nibble.model.WeightView;
import ai.nibble.nn.Precision;
import ai.nibble.nn.Quant4Weight;
import ai.nibble.quant.Quant4Config;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Ops;
import ai.nibble.tensor.Tensor;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * A base's weights as LoftQ quantises them in its last iteration (Li et al. 2023, algorithm 1; what
 * PEFT's {@code loftq_init} does with {@code loftq_iter}).
 *
 * <p>Iteration t quantises {@code Qₜ = q(W − Bₜ₋₁·Aₜ₋₁)}, where B₀·A₀ is zero, and takes the best
 * approximation of rank r of what is missing, {@code Bₜ·Aₜ ≈ W − Qₜ}. What is read here, of a
 * weight that gets an adapter, is {@code W − Bₜ₋₁·Aₜ₋₁} of the last t: quantised as any weight is,
 * it is Qₜ, and an adapter that begins with {@link InitLoraWeights.Kind#LOFTQ} on it makes Bₜ·Aₜ
 * itself. All other tensors are the base's. One weight's values are in memory at a time.
 */
public final class LoftqWeights extends WeightView {
  private static final Precision WIDE = Precision.of(DType.FLOAT32);
  private static final String WEIGHT = ".weight";

  private final Quant4Config config;
  private final int iterations;
  private final Map<String, Integer> ranks = new LinkedHashMap<>();
  private final Current<Values> current = new Current<>(this::reduced);

  /** Row-major. */
  private record Values(float[] all) implements AutoCloseable {
    @Override
    public void close() {}
  }

  /**
   * @param base of plain values; stays the caller's
   * @param config of its linears
   * @param lora which of them get adapters, and of what ranks
   * @param modules paths of all modules that may be adapted
   * @param iterations at least 1, with which nothing changes
   */
  public LoftqWeights(
      WeightSource base,
      Quant4Config config,
      LoraConfig lora,
      List<String> modules,
      int iterations) {
    super(base);
    this.config = config;
    this.iterations = iterations;
    for (String path : new TargetMatcher(lora).select(modules)) {
      if (config.quantizes(path) && !AdaptedTables.isTable(path) && iterations > 1) {
        long[] shape = base.shape(path + WEIGHT);
        ranks.put(path + WEIGHT, lora.rankOf(path, shape[0], shape[1]));
      }
    }
  }

  private Values reduced(String name) {
    long[] shape = base.shape(name);
    float[] stored = new float[Math.toIntExact(shape[0] * shape[1])];
    base.read(name, 0, stored, 0, stored.length);
    return new Values(
        reduced(
            new Matrix(name, base.heldDtype(name), stored, shape),
            config,
            ranks.get(name),
            iterations));
  }

  /**
   * A weight.
   *
   * @param dtype its own
   * @param values row-major
   * @param shape {@code [out, in]}
   */
  record Matrix(String name, DType dtype, float[] values, long[] shape) {
    /** This less what another of its shape holds when it is quantised; the caller closes it. */
    Tensor lessQuantized(float[] other, Quant4Config config) {
      try (Quant4Weight quantized =
              Quant4Weight.quantize(
                  name,
                  config,
                  dtype,
                  shape[0],
                  shape[1],
                  (first, into, count) ->
                      System.arraycopy(other, Math.toIntExact(first), into, 0, count));
          Tensor held = Tensor.empty(DType.FLOAT32, shape)) {
        quantized.writeTo(held, 0, WIDE);
        return Tensor.of(less(held.toFloats()), shape);
      }
    }

    private float[] less(TruncatedSvd svd) {
      long rank = svd.a().length / shape[1];
      try (Tensor a = Tensor.of(svd.a(), rank, shape[1]);
          Tensor b = Tensor.of(svd.b(), shape[0], rank);
          Tensor product = Tensor.empty(DType.FLOAT32, shape)) {
        return less(Ops.mm(product, b, a).toFloats());
      }
    }

    /**
     * @param other is overwritten
     */
    private float[] less(float[] other) {
      for (int i = 0; i < other.length; i++) {
        other[i] = values[i] - other[i];
      }
      return other;
    }
  }

  /** What the last of some iterations quantises, row-major. */
  static float[] reduced(Matrix weight, Quant4Config config, int rank, int iterations) {
    float[] next = weight.values();
    for (int done = 1; done < iterations; done++) {
      try (Tensor missing = weight.lessQuantized(next, config)) {
        next = weight.less(TruncatedSvd.of(missing, rank));
      }
    }
    return next;
  }

  @Override
  public DType dtype(String name) {
    return ranks.containsKey(name) ? DType.FLOAT32 : base.dtype(name);
  }

  @Override
  public void read(String name, long firstElement, float[] out, int offset, int count) {
    if (!ranks.containsKey(name)) {
      base.read(name, firstElement, out, offset, count);
      return;
    }
    current.use(
        name,
        values ->
            System.arraycopy(values.all(), Math.toIntExact(firstElement), out, offset, count));
  }

  /** What is reduced is not rounded once more: it is only there to be quantised. */
  @Override
  public void readHeld(String name, long firstElement, float[] out, int offset, int count) {
    if (ranks.containsKey(name)) {
      read(name, firstElement, out, offset, count);
    } else {
      base.readHeld(name, firstElement, out, offset, count);
    }
  }

  /** Leaves the base open. */
  @Override
  public void close() {
    current.close();
  }
}
