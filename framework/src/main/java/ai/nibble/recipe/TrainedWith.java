package ai.nibble.recipe;

import ai.nibble.InvalidInputException;
import ai.nibble.data.ExtendedBases;
import ai.nibble.lora.InitLoraWeights;
import ai.nibble.model.ModelStore;
import ai.nibble.quant.Quant4Config;
import ai.nibble.quant.Quant4Type;
import ai.nibble.quant.Quant8Config;
import ai.nibble.quant.QuantConfig;
import ai.nibble.quant.SkipModules;
import ai.nibble.recipe.Quantization.ComputeDtype;
import ai.nibble.tensor.DType;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * What an adapter or model was trained with, from the files beside it, for those who use it again.
 * The rows and files of the training need no longer be there.
 *
 * @param adapter what kind of training it was
 * @param baseModel the recipe's base model, which may have moved since, or what LoftQ made of it
 * @param quantization how the base was held in training; empty: as stored
 * @param computeDtype of the training, where the recipe named one
 * @param chatTemplate the file there, or else the one that the recipe named
 * @param mendsQuantization whether the adapter began as what quantisation took from the base
 *     (LoftQ)
 */
public record TrainedWith(
    Optional<Recipe.Adapter> adapter,
    Optional<Path> baseModel,
    Optional<QuantConfig> quantization,
    Optional<DType> computeDtype,
    Optional<Path> chatTemplate,
    boolean mendsQuantization) {
  /** The resolved recipe's name in an output directory. */
  static final String RECIPE = "recipe.yaml";

  /**
   * Reads the recipe and the chat template of an output directory, or of a checkpoint in one; empty
   * where there is neither, as beside some adapters that were trained elsewhere.
   *
   * @throws InvalidInputException if the recipe is not YAML
   */
  public static Optional<TrainedWith> read(Path directory) {
    Path folder = folder(directory);
    Map<String, Object> values = Map.of();
    if (Files.isRegularFile(folder.resolve(RECIPE))) {
      values = values(folder.resolve(RECIPE));
    } else if (!Files.isRegularFile(folder.resolve(ModelStore.CHAT_TEMPLATE))) {
      return Optional.empty();
    }
    Optional<Path> base = Optional.ofNullable((Path) values.get("base_model"));
    return Optional.of(
        new TrainedWith(
            Optional.ofNullable((Recipe.Adapter) values.get("adapter")),
            LoftqBase.in(folder).or(() -> base),
            quantization(values),
            computeDtype(values),
            chatTemplate(folder, values),
            values.get("init_lora_weights") instanceof InitLoraWeights how
                && how.kind() == InitLoraWeights.Kind.LOFTQ));
  }

  /** The answers that the recipe of an output directory asks for; empty where it asks for none. */
  static Optional<GenerationEval> generationEval(Path output) {
    Path recipe = output.resolve(RECIPE);
    Object value = Files.isRegularFile(recipe) ? values(recipe).get("generation_eval") : null;
    return value instanceof Optional<?> eval
        ? eval.map(GenerationEval.class::cast)
        : Optional.empty();
  }

  /**
   * The base that an adapter is used on: with the tokens more that its own tokenizer has, where
   * there is one beside it.
   *
   * @throws InvalidInputException if that is another tokenizer than the base's, or the adapter has
   *     a base of its own
   */
  public static Path baseFor(Path base, Path adapter) {
    return baseFor(base, List.of(adapter));
  }

  /**
   * The base that several adapters are used on at once.
   *
   * @throws InvalidInputException as for one, or if their tokenizers do not go together
   */
  public static Path baseFor(Path base, Collection<Path> adapters) {
    List<Path> folders = adapters.stream().map(TrainedWith::folder).toList();
    folders.forEach(folder -> LoftqBase.requireOwn(base, folder));
    return ExtendedBases.of(base, folders);
  }

  /** Where the files of the run are: a checkpoint has none of its own. */
  private static Path folder(Path directory) {
    Path absolute = directory.toAbsolutePath().normalize();
    boolean checkpoint =
        absolute.getParent() != null
            && absolute.getFileName().toString().matches("checkpoint-\\d+")
            && !Files.exists(absolute.resolve(RECIPE))
            && Files.isRegularFile(absolute.resolveSibling(RECIPE));
    return checkpoint ? absolute.getParent() : directory;
  }

  private static Map<String, Object> values(Path recipe) {
    Problems problems = new Problems();
    Optional<Node.Fields> fields = Layers.read(recipe, Reading.begin(problems));
    problems.throwIfAny();
    // a key that another version knew otherwise is no reason not to use what was trained
    return Schema.RECIPE.values(
        Schema.derived(fields.orElseThrow()), Reading.begin(new Problems()));
  }

  private static Optional<Path> chatTemplate(Path folder, Map<String, Object> values) {
    Path kept = folder.resolve(ModelStore.CHAT_TEMPLATE);
    if (Files.isRegularFile(kept)) {
      return Optional.of(kept);
    }
    Optional<?> named = (Optional<?>) values.getOrDefault("chat_template", Optional.empty());
    return named.map(Path.class::cast);
  }

  private static Optional<DType> computeDtype(Map<String, Object> values) {
    return values.get("bnb_4bit_compute_dtype") instanceof ComputeDtype dtype
        ? dtype.type()
        : Optional.empty();
  }

  private static Optional<QuantConfig> quantization(Map<String, Object> values) {
    if (Boolean.TRUE.equals(values.get("load_in_8bit"))) {
      return quantization8(values);
    }
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
            (Boolean) values.get("bnb_4bit_use_double_quant"),
            skipModules(values)));
  }

  private static Optional<QuantConfig> quantization8(Map<String, Object> values) {
    return values.get("llm_int8_threshold") instanceof Double threshold
        ? Optional.of(new Quant8Config(threshold, skipModules(values)))
        : Optional.empty();
  }

  private static SkipModules skipModules(Map<String, Object> values) {
    return values.get("llm_int8_skip_modules") instanceof List<?> names
        ? new SkipModules(names.stream().map(String.class::cast).toList())
        : SkipModules.NONE;
  }
}
