package ai.nibble.model;

import ai.nibble.InvalidInputException;
import ai.nibble.nn.ParameterSet;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;

/**
 * All weights of a model, trained together: full fine-tuning, or pretraining from {@link
 * RandomWeights}. The model owns them; closing this frees nothing.
 */
public final class AllWeights implements Trainable {
  /** Values that fit into one flat float32 buffer of Java's. */
  private static final long MAX_WEIGHTS = Integer.MAX_VALUE / Float.BYTES;

  private final CausalLm model;
  private final Optional<BaseFiles> base;
  private final ParameterSet parameters;

  /**
   * Weights that are saved with the files that the base has at that time.
   *
   * @param model loaded with {@link LoadOptions#trained}
   */
  public AllWeights(CausalLm model) {
    this(model, Optional.empty());
  }

  /**
   * Weights that are saved with files read before, whatever becomes of the base.
   *
   * @param model loaded with {@link LoadOptions#trained}
   */
  public AllWeights(CausalLm model, BaseFiles base) {
    this(model, Optional.of(base));
  }

  private AllWeights(CausalLm model, Optional<BaseFiles> base) {
    this.model = model;
    this.base = base;
    this.parameters =
        model
            .parameters()
            .orElseThrow(
                () ->
                    new IllegalArgumentException(
                        "the model's weights are frozen: load it with LoadOptions.trained"));
  }

  /** Weights of such a model, a tied head counted once. */
  public static long count(ModelConfig config) {
    return DecoderParameters.shapes(config).values().stream()
        .mapToLong(shape -> shape.stream().reduce(1L, (a, b) -> a * b))
        .sum();
  }

  /**
   * Checks that all weights of such a model can be trained.
   *
   * @param place the model, for the message
   * @throws InvalidInputException if there are too many
   */
  public static void requireFits(ModelConfig config, String place) {
    long count = count(config);
    if (count > MAX_WEIGHTS) {
      throw new InvalidInputException(
          place
              + ": has "
              + count
              + " weights, expected at most "
              + MAX_WEIGHTS
              + " to train all of them: train an adapter instead (adapter: lora or qlora)");
    }
  }

  @Override
  public ParameterSet parameters() {
    return parameters;
  }

  /**
   * None: every weight belongs to a layer, so its gradient needs no wiring that could be missing. A
   * zero gradient would prove nothing either: queries and keys have none where a row has two
   * tokens, nor has anything before a projection that starts as zeros.
   */
  @Override
  public List<String> withoutGradient() {
    return List.of();
  }

  /** Writes a model directory: see {@link ModelStore}. */
  @Override
  public void save(Path directory, String baseModel) throws IOException {
    ModelStore.save(model, base.orElseGet(() -> BaseFiles.read(Path.of(baseModel))), directory);
  }

  @Override
  public void close() {}
}
