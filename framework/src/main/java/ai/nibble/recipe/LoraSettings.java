package ai.nibble.recipe;

import ai.nibble.lora.AdapterExtras;
import ai.nibble.lora.InitLoraWeights;
import ai.nibble.lora.LoraConfig;
import ai.nibble.lora.PathValues;
import ai.nibble.lora.TargetModules;
import ai.nibble.lora.TrainableTokens;
import ai.nibble.model.ModelConfig;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** A recipe's adapter settings as the adapter's own configuration. */
final class LoraSettings {
  private LoraSettings() {}

  /**
   * Those of a recipe on its base.
   *
   * @param base the configuration as the weights have it
   */
  static LoraConfig of(Recipe recipe, ModelConfig base) {
    LoraConfig lora = of(recipe.lora());
    TrainedTokenIds tokens = recipe.lora().trainableTokenIndices();
    return tokens.isEmpty()
        ? lora
        : lora.withExtras(
            lora.extras().withTrainableTokens(tokens.of(recipe.base(), base.tieWordEmbeddings())));
  }

  private static LoraConfig of(Lora lora) {
    return new LoraConfig(
        lora.r(),
        lora.alpha(),
        lora.dropout(),
        lora.targetModules(),
        lora.excludeModules().orElse(TargetModules.NONE),
        lora.useRslora(),
        new PathValues<>("rank_pattern", lora.rankPattern()),
        new PathValues<>("alpha_pattern", lora.alphaPattern()),
        lora.layersToTransform(),
        lora.layersPattern(),
        lora.modelDir().isPresent() ? InitLoraWeights.KAIMING : lora.initLoraWeights(),
        AdapterExtras.NONE.withDora(lora.useDora()).withModulesToSave(lora.modulesToSave()));
  }

  /**
   * What decides which modules are adapted, as far as it could be read: what was refused already
   * selects all and decides nothing, so that the rest is looked at too.
   */
  @SuppressWarnings("unchecked")
  static LoraConfig of(Map<String, Object> values) {
    return of(
        new Lora(
            1,
            1,
            0,
            (TargetModules)
                values.getOrDefault("lora_target_modules", new TargetModules.AllLinear()),
            (Optional<TargetModules>) values.getOrDefault("exclude_modules", Optional.empty()),
            false,
            Boolean.TRUE.equals(values.get("use_dora")),
            (List<String>) values.getOrDefault("lora_modules_to_save", List.of()),
            TrainedTokenIds.NONE,
            (InitLoraWeights) values.getOrDefault("init_lora_weights", InitLoraWeights.KAIMING),
            Optional.empty(),
            Optional.empty(),
            1,
            (Map<String, Integer>) readable(values, "rank_pattern"),
            (Map<String, Double>) readable(values, "alpha_pattern"),
            (List<Integer>) values.getOrDefault("layers_to_transform", List.of()),
            (List<String>) values.getOrDefault("layers_pattern", List.of())));
  }

  /**
   * The adapter that values describe; empty where one that counts could not be read.
   *
   * @param tokens whose rows are trained
   */
  static Optional<LoraConfig> complete(Map<String, Object> values, TrainableTokens tokens) {
    if (!values.keySet().containsAll(Schema.LORA)) {
      return Optional.empty();
    }
    LoraConfig modules = of(values);
    return Optional.of(
        new LoraConfig(
            (Integer) values.get("lora_r"),
            (Double) values.get("lora_alpha"),
            0,
            modules.targetModules(),
            modules.excludeModules(),
            (Boolean) values.get("use_rslora"),
            modules.rankPattern(),
            modules.alphaPattern(),
            modules.layersToTransform(),
            modules.layersPattern(),
            InitLoraWeights.KAIMING,
            modules
                .extras()
                .withDora((Boolean) values.get("use_dora"))
                .withTrainableTokens(tokens)));
  }

  private static Map<String, ?> readable(Map<String, Object> values, String key) {
    Map<String, Object> patterns = new LinkedHashMap<>();
    if (values.get(key) instanceof Map<?, ?> written) {
      written.forEach((pattern, value) -> patterns.put((String) pattern, value));
    }
    patterns.keySet().removeIf(pattern -> PathValues.flawOf(pattern).isPresent());
    return patterns;
  }
}
