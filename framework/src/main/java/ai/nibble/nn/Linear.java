package ai.nibble.nn;

import ai.nibble.tensor.Tensor;
import java.util.List;
import java.util.Optional;

/**
 * A linear layer {@code y = x·Wᵀ + bias}: frozen, where it may carry a trained low-rank update, or
 * trained itself.
 */
public final class Linear implements Adaptable, AutoCloseable {
  private final String path;
  private final Weight weight;
  private final Tensor bias;
  private final Parameter trainedBias;
  private LowRank adapter;
  private Tensor rowSquares;

  /**
   * @param path the module's path in the Hugging Face model, {@code
   *     model.layers.0.self_attn.q_proj}
   * @param weight {@code [out, in]}, taken over
   * @param bias float32 {@code [out]}, taken over, or null
   */
  public Linear(String path, Weight weight, Tensor bias) {
    this(path, weight, bias, null);
  }

  private Linear(String path, Weight weight, Tensor bias, Parameter trainedBias) {
    this.path = path;
    this.weight = weight;
    this.bias = bias;
    this.trainedBias = trainedBias;
  }

  /**
   * A layer whose weight and bias are trained.
   *
   * @param weight {@code [out, in]}
   * @param bias {@code [out]}, or null
   */
  public static Linear trained(String path, Parameter weight, Parameter bias) {
    Tensor values = bias == null ? null : bias.value().share();
    return new Linear(path, new DenseWeight(weight), values, bias);
  }

  @Override
  public String path() {
    return path;
  }

  @Override
  public Weight weight() {
    return weight;
  }

  /** The bias, float32 {@code [out]}; null where the layer has none. */
  Tensor bias() {
    return bias;
  }

  /** What backward adds the bias's gradient to; empty where it is frozen or there is none. */
  Optional<Parameter> trainedBias() {
    return Optional.ofNullable(trainedBias);
  }

  @Override
  public long inFeatures() {
    return weight.inFeatures();
  }

  @Override
  public long outFeatures() {
    return weight.outFeatures();
  }

  @Override
  public Optional<LowRank> adapter() {
    return Optional.ofNullable(adapter);
  }

  /**
   * Puts a low-rank update on this layer, or takes it off with null.
   *
   * @throws IllegalArgumentException if it is of another shape, or scales rows of a weight in 8
   *     bits
   */
  @Override
  public void attach(LowRank update) {
    if (update != null) {
      if (update.magnitude().isPresent() && weight instanceof Quant8Weight) {
        throw new IllegalArgumentException(path + ": DoRA on a weight held in 8 bits");
      }
      requireFits(update);
    }
    adapter = update;
  }

  /**
   * The norm of each row of the frozen weight with its adapter, as products take both, float32
   * {@code [out]}; the caller closes it.
   */
  public Tensor rowNorms(Precision precision) {
    // a group of this linear alone, which has nothing to close of its own
    try (DoraGains gains = new LinearGroup(0, List.of(this)).gains(precision)) {
      return gains.norms().share();
    }
  }

  /**
   * Sums of the squares of each row, kept from the first time on as the weight is frozen.
   *
   * @param values the weight as products take it, {@code [out, in]}; its rows may lie apart
   * @return float32 {@code [out]}, which stays the linear's
   */
  Tensor squares(Tensor values) {
    if (rowSquares == null) {
      rowSquares = DoraGains.rowSquares(values);
    }
    return rowSquares;
  }

  @Override
  public void close() {
    if (rowSquares != null) {
      rowSquares.close();
    }
    weight.close();
    if (bias != null) {
      bias.close();
    }
  }
}
