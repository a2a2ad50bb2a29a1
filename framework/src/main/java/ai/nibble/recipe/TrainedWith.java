package ai.nibble.recipe;

import ai.nibble.quant.Quant4Config;
import ai.nibble.quant.Quant4Type;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.Optional;

/**
 * What an adapter was trained with, from the {@code recipe.yaml} beside it, for those who use it
 * again. The rows and files of the training need no longer be there.
 *
 * @param baseModel the recipe's base model, which may have moved since
 * @param quantization how the base was held in training; empty: as stored
 * @param chatTemplate the recipe's template, where it named a file
 */
public record TrainedWith(
    Optional<Path> baseModel, Optional<Quant4Config> quantization, Optional<Path> chatTemplate) {

  /**
   * Reads the recipe in an output directory; empty where there is none, as beside an adapter that
   * was trained elsewhere.
   *
   * @throws ai.nibble.InvalidInputException if the file is not YAML
   */
  public static Optional<TrainedWith> read(Path directory) {
    Path file = directory.resolve("recipe.yaml");
    if (!Files.isRegularFile(file)) {
      return Optional.empty();
    }
    Problems problems = new Problems();
    Optional<Node.Fields> fields = Layers.read(file, Reading.begin(problems));
    problems.throwIfAny();
    // a key that another version knew otherwise is no reason not to use the adapter
    Map<String, Object> values =
        Schema.RECIPE.values(Schema.derived(fields.orElseThrow()), Reading.begin(new Problems()));
    Optional<?> template = (Optional<?>) values.getOrDefault("chat_template", Optional.empty());
    return Optional.of(
        new TrainedWith(
            Optional.ofNullable((Path) values.get("base_model")),
            quantization(values),
            template.map(Path.class::cast)));
  }

  private static Optional<Quant4Config> quantization(Map<String, Object> values) {
    boolean known =
        values.get("bnb_4bit_quant_type") instanceof Quant4Type
            && values.get("bnb_4bit_blocksize") instanceof Integer
            && values.get("bnb_4bit_use_double_quant") instanceof Boolean;
    if (!known || !Boolean.TRUE.equals(values.get("load_in_4bit"))) {
      return Optional.empty();
    }
    return Optional.of(
        new Quant4Config(
            (Quant4Type) values.get("bnb_4bit_quant_type"),
            (Integer) values.get("bnb_4bit_blocksize"),
            (Boolean) values.get("bnb_4bit_use_double_quant")));
  }
}
