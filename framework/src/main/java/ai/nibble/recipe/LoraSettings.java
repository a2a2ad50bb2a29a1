package ai.nibble.recipe;

import ai.nibble.lora.InitLoraWeights;
import ai.nibble.lora.LoraConfig;
import ai.nibble.lora.PathValues;
import ai.nibble.lora.TargetModules;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Stream;

/** A recipe's adapter settings as the adapter's own configuration. */
final class LoraSettings {
  private LoraSettings() {}

  static LoraConfig of(Lora lora) {
    return new LoraConfig(
        lora.r(),
        lora.alpha(),
        lora.dropout(),
        lora.targetModules(),
        TargetModules.NONE,
        lora.useRslora(),
        new PathValues<>("rank_pattern", lora.rankPattern()),
        new PathValues<>("alpha_pattern", lora.alphaPattern()),
        lora.layersToTransform(),
        List.of(),
        switch (lora.initLoraWeights()) {
          case TRUE -> InitLoraWeights.KAIMING;
          case GAUSSIAN -> InitLoraWeights.GAUSSIAN;
        });
  }

  /**
   * What decides which modules are adapted; empty if one of its keys could not be read, or was
   * refused already.
   */
  @SuppressWarnings("unchecked")
  static Optional<LoraConfig> of(Map<String, Object> values) {
    if (values.get("lora_target_modules") instanceof TargetModules targets
        && values.get("rank_pattern") instanceof Map<?, ?> ranks
        && values.get("alpha_pattern") instanceof Map<?, ?> alphas
        && values.get("layers_to_transform") instanceof List<?> layers
        && Stream.concat(ranks.keySet().stream(), alphas.keySet().stream())
            .allMatch(key -> PathValues.flawOf((String) key).isEmpty())) {
      return Optional.of(
          of(
              new Lora(
                  1,
                  1,
                  0,
                  targets,
                  false,
                  Lora.InitLoraWeights.TRUE,
                  (Map<String, Integer>) ranks,
                  (Map<String, Double>) alphas,
                  (List<Integer>) layers)));
    }
    return Optional.empty();
  }
}
