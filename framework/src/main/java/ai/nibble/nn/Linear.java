package ai.nibble.nn;

import ai.nibble.tensor.Tensor;
import java.util.Optional;

/** A frozen linear layer {@code y = x·Wᵀ + bias} that may carry a trained low-rank update. */
public final class Linear implements AutoCloseable {
  private final String path;
  private final FrozenWeight weight;
  private final Tensor bias;
  private LowRank adapter;

  /**
   * @param path the module's path in the Hugging Face model, {@code
   *     model.layers.0.self_attn.q_proj}
   * @param weight {@code [out, in]}, taken over
   * @param bias float32 {@code [out]}, taken over, or null
   */
  public Linear(String path, FrozenWeight weight, Tensor bias) {
    this.path = path;
    this.weight = weight;
    this.bias = bias;
  }

  public String path() {
    return path;
  }

  public FrozenWeight weight() {
    return weight;
  }

  /** The bias, float32 {@code [out]}; null where the layer has none. */
  Tensor bias() {
    return bias;
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
