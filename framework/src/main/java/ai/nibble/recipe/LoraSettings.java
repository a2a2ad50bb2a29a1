package ai.nibble.recipe;

import ai.nibble.lora.InitLoraWeights;
import ai.nibble.lora.LoraConfig;
import ai.nibble.lora.PathValues;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.regex.Pattern;
import java.util.regex.PatternSyntaxException;
import java.util.stream.Stream;

/** A recipe's adapter settings as the adapter's own configuration. */
final class LoraSettings {
  private LoraSettings() {}

  static LoraConfig of(Lora lora) {
    return new LoraConfig(
        lora.r(),
        lora.alpha(),
        lora.dropout(),
        targets(lora.targetModules()),
        ai.nibble.lora.TargetModules.NONE,
        lora.useRslora(),
        new PathValues<>("rank_pattern", lora.rankPattern()),
        new PathValues<>("alpha_pattern", lora.alphaPattern()),
        lora.layersToTransform(),
        List.of(),
        lora.initLoraWeights() == Lora.InitLoraWeights.GAUSSIAN
            ? InitLoraWeights.GAUSSIAN
            : InitLoraWeights.KAIMING);
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
            .allMatch(key -> isRegex((String) key))) {
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

  private static boolean isRegex(String text) {
    try {
      Pattern.compile(text);
      return true;
    } catch (PatternSyntaxException e) {
      return false;
    }
  }

  private static ai.nibble.lora.TargetModules targets(TargetModules targets) {
    if (targets instanceof TargetModules.Named named) {
      return new ai.nibble.lora.TargetModules.Names(named.names());
    }
    return targets instanceof TargetModules.Matching matching
        ? new ai.nibble.lora.TargetModules.Regex(matching.regex())
        : new ai.nibble.lora.TargetModules.AllLinear();
  }
}
