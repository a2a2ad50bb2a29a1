package ai.nibble.nn;

import ai.nibble.tensor.Tensor;
import java.util.Optional;

/**
 * A linear layer {@code y = x·Wᵀ + bias}: frozen, where it may carry a trained low-rank update, or
 * trained itself.
 */
public final class Linear implements AutoCloseable {
  private final String path;
  private final Weight weight;
  private final Tensor bias;
  private final Parameter trainedBias;
  private LowRank adapter;

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

  public String path() {
    return path;
  }

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

  public Optional<LowRank> adapter() {
    return Optional.ofNullable(adapter);
  }

  /** Puts a low-rank update on this layer, or takes it off with null. */
  public void attach(LowRank update) {
    if (update != null) {
      long in = update.a().value().size(1);
      long out = update.b().value().size(0);
      if (in != weight.inFeatures() || out != weight.outFeatures()) {
        throw new IllegalArgumentException(
            path
                + ": an adapter of ["
                + out
                + ", "
                + in
                + "] on a weight of ["
                + weight.outFeatures()
                + ", "
                + weight.inFeatures()
                + "]");
      }
    }
    adapter = update;
  }

  @Override
  public void close() {
    weight.close();
    if (bias != null) {
      bias.close();
    }
  }
}
