package ai.nibble.cli;

import ai.nibble.InvalidInputException;
import ai.nibble.quant.Quant4Config;
import ai.nibble.quant.Quant4Type;
import ai.nibble.quant.Quant8Config;
import ai.nibble.quant.QuantConfig;
import ai.nibble.recipe.TrainedWith;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.Consumer;
import java.util.stream.Collectors;

/** The option {@code --base-weights}: onto which of a base's weights an adapter belongs. */
final class BaseWeights {
  static final String TRAINED = "trained";
  static final String ORIGINAL = "original";

  private static final int BLOCK_SIZE = 64;

  private static final Map<String, QuantConfig> QUANTIZED = new LinkedHashMap<>();

  static {
    for (Quant4Type type : Quant4Type.values()) {
      String name = type.name().toLowerCase(Locale.ROOT);
      QUANTIZED.put(name, new Quant4Config(type, BLOCK_SIZE, false));
      QUANTIZED.put(name + "+double", new Quant4Config(type, BLOCK_SIZE, true));
    }
    QUANTIZED.put("int8", new Quant8Config());
  }

  private BaseWeights() {}

  /** The values that the option takes, beside {@link #TRAINED}. */
  static Set<String> named() {
    Set<String> named = new LinkedHashSet<>();
    named.add(ORIGINAL);
    named.addAll(QUANTIZED.keySet());
    return named;
  }

  /** The quantisation of a value that {@link #named} lists. */
  static Optional<QuantConfig> of(String value) {
    return Optional.ofNullable(QUANTIZED.get(value));
  }

  /**
   * How the base was held when the adapters were trained.
   *
   * @param adapters with what the recipes beside them say
   * @param notices takes a line where that is not known
   * @throws InvalidInputException if they were trained on different weights
   */
  static Optional<QuantConfig> trained(
      Map<Path, Optional<TrainedWith>> adapters, Consumer<String> notices) {
    Map<Path, Optional<QuantConfig>> known = new LinkedHashMap<>();
    adapters.forEach(
        (path, trained) -> {
          if (trained.flatMap(TrainedWith::adapter).isPresent()) {
            known.put(path, trained.flatMap(TrainedWith::quantization));
          } else {
            known.put(path, Optional.empty());
            notices.accept(
                path
                    + " has no recipe.yaml that says how its base was held: taken as stored; if it"
                    + " was trained on quantised weights, say which with --base-weights "
                    + String.join("|", QUANTIZED.keySet()));
          }
        });
    List<Optional<QuantConfig>> different = known.values().stream().distinct().toList();
    if (different.size() > 1) {
      throw new InvalidInputException(
          "the adapters were trained on different weights, "
              + known.entrySet().stream()
                  .map(e -> e.getKey() + " on " + described(e.getValue()))
                  .collect(Collectors.joining(", "))
              + ": choose with --base-weights");
    }
    return different.get(0);
  }

  /**
   * Checks that adapters which began as what quantisation took from the base (LoftQ) are not merged
   * onto weights that it took nothing from, or something else.
   *
   * @throws InvalidInputException if one is
   */
  static void requireMended(
      Map<Path, Optional<TrainedWith>> adapters, Optional<QuantConfig> chosen) {
    adapters.forEach(
        (path, trained) -> {
          Optional<QuantConfig> own = trained.flatMap(TrainedWith::quantization);
          if (trained.isPresent() && trained.get().mendsQuantization() && !own.equals(chosen)) {
            throw new InvalidInputException(
                path
                    + ": began with init_lora_weights: loftq as what "
                    + described(own)
                    + " took from the base, which "
                    + described(chosen)
                    + (chosen.isEmpty() ? " still have" : " did not take")
                    + ": leave out --base-weights, and it is merged onto the weights it was trained"
                    + " on");
          }
        });
  }

  private static String described(Optional<QuantConfig> quantization) {
    return quantization.map(QuantConfig::description).orElse(ORIGINAL + " weights");
  }
}
