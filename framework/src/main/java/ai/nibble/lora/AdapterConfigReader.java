package ai.nibble.lora;

import ai.nibble.InvalidInputException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.NullNode;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.Function;

/** Turns one parsed {@code adapter_config.json} into a configuration or all of its problems. */
final class AdapterConfigReader {
  /** Settings that change what the adapter computes, and what they are. */
  private static final Map<String, String> OTHER_METHODS =
      Map.ofEntries(
          Map.entry("alora_invocation_tokens", "activated LoRA"),
          Map.entry("arrow_config", "Arrow routing"),
          Map.entry("kasa_config", "KaSA"),
          Map.entry("layer_replication", "replicated layers"),
          Map.entry("lora_bias", "a bias on B"),
          Map.entry("megatron_config", "Megatron's sharded layers"),
          Map.entry("modules_to_save", "modules trained whole"),
          Map.entry("monteclora_config", "Monteclora"),
          Map.entry("target_parameters", "adapters on bare parameters"),
          Map.entry("use_bdlora", "block-diagonal LoRA"),
          Map.entry("use_dora", "DoRA"),
          Map.entry("use_qalora", "QA-LoRA"),
          Map.entry("velora_config", "VeLoRA"));

  /** Keys PEFT writes that say nothing about what a loaded adapter computes on a linear module. */
  private static final Set<String> WITHOUT_MEANING =
      Set.of(
          "auto_mapping",
          "corda_config",
          "ensure_weight_tying",
          "eva_config",
          "fan_in_fan_out", // PEFT itself sets it to false for linear modules
          "inference_mode",
          "loftq_config",
          "lora_ga_config",
          "megatron_core",
          "peft_version",
          "qalora_group_size",
          "runtime_config");

  private static final Set<String> READ =
      Set.of(
          "alpha_pattern",
          "base_model_name_or_path",
          "bias",
          "exclude_modules",
          "init_lora_weights",
          "layers_pattern",
          "layers_to_transform",
          "lora_alpha",
          "lora_dropout",
          "peft_type",
          "r",
          "rank_pattern",
          "revision",
          "target_modules",
          "task_type",
          "trainable_token_indices",
          "use_rslora");

  /**
   * Initialisations that leave the base model as it is. Of {@code pissa_niter_4} the stem counts.
   */
  private static final Set<String> HARMLESS_INITS = Set.of("gaussian", "eva", "orthogonal", "mica");

  /** Those of {@link AdapterExtras} that an adapter on a model may have. */
  private static final Set<String> EXTRAS = Set.of("modules_to_save", "use_dora");

  /** The others, which a merge takes. */
  private static final Set<String> MERGED_EXTRAS = Set.of("lora_bias");

  private final String file;
  private final JsonNode json;
  private final boolean takesExtras;
  private final List<String> problems = new ArrayList<>();

  AdapterConfigReader(String file, JsonNode json, boolean takesExtras) {
    this.file = file;
    this.json = json;
    this.takesExtras = takesExtras;
  }

  AdapterConfig read() {
    if (!json.isObject()) {
      throw new InvalidInputException(
          file + ": " + shown(json) + " instead of a JSON object: save the adapter again");
    }
    checkMethod();
    int r = integer("r");
    double alpha = number("lora_alpha", Double.NaN);
    double dropout = number("lora_dropout", 0);
    TargetModules targets = modules("target_modules");
    TargetModules exclude = modules("exclude_modules");
    PathValues<Integer> ranks = values("rank_pattern", this::integerOf);
    PathValues<Double> alphas = values("alpha_pattern", this::numberOf);
    List<Integer> layers = list("layers_to_transform", this::integerOf, "layer numbers");
    List<String> layersPattern = list("layers_pattern", this::textOf, "names");
    boolean rslora = flag("use_rslora");
    Optional<String> base = text("base_model_name_or_path");
    Optional<String> revision = text("revision");
    AdapterExtras extras = extras();
    if (targets.equals(TargetModules.NONE) && problems.isEmpty()) {
      problem("target_modules", "a list of module names or a regular expression");
    }
    throwProblems();
    try {
      LoraConfig lora =
          new LoraConfig(
              r,
              alpha,
              dropout,
              targets,
              exclude,
              rslora,
              ranks,
              alphas,
              layers,
              layersPattern,
              InitLoraWeights.KAIMING,
              extras);
      return new AdapterConfig(lora, base, revision, unknownKeys());
    } catch (InvalidInputException e) {
      e.problems().forEach(line -> problems.add(file + ": " + line));
      throw new InvalidInputException(problems);
    }
  }

  private void checkMethod() {
    JsonNode type = get("peft_type");
    if (!"LORA".equals(type.textValue())) {
      problems.add(
          file
              + ": 'peft_type' is "
              + shown(type)
              + ", expected \"LORA\": Nibble reads LoRA adapters only");
      throwProblems();
    }
    JsonNode task = get("task_type");
    if (!task.isNull() && !"CAUSAL_LM".equals(task.textValue())) {
      problem("task_type", "\"CAUSAL_LM\"");
    }
    JsonNode bias = get("bias");
    if (!takesExtras && !bias.isNull() && !"none".equals(bias.textValue())) {
      problem("bias", "\"none\": adapters with trained biases are not supported yet");
    }
    json.fieldNames()
        .forEachRemaining(
            key -> {
              boolean taken = EXTRAS.contains(key) || takesExtras && MERGED_EXTRAS.contains(key);
              if (OTHER_METHODS.containsKey(key) && !taken && isSet(get(key))) {
                problems.add(
                    file
                        + ": '"
                        + key
                        + "' is "
                        + shown(get(key))
                        + ": "
                        + OTHER_METHODS.get(key)
                        + " is not supported yet, expected plain LoRA");
              }
            });
    checkInit(get("init_lora_weights"));
  }

  /** PiSSA, OLoRA, CorDA and LoftQ subtract from the base model, which the adapter then needs. */
  private void checkInit(JsonNode init) {
    String name = init.isTextual() ? init.textValue().toLowerCase(Locale.ROOT) : "";
    if (!init.isNull() && !init.isBoolean() && !HARMLESS_INITS.contains(name)) {
      problem(
          "init_lora_weights",
          "true, false or one of "
              + HARMLESS_INITS.stream().sorted().toList()
              + ": the adapter belongs to a changed base model; convert it with PEFT's"
              + " path_initial_model_for_weight_conversion");
    }
  }

  private AdapterExtras extras() {
    JsonNode bias = get("bias");
    AdapterExtras.Bias trained =
        switch (bias.isNull() || !takesExtras ? "none" : bias.asText()) {
          case "none" -> AdapterExtras.Bias.NONE;
          case "all" -> AdapterExtras.Bias.ALL;
          case "lora_only" -> AdapterExtras.Bias.LORA_ONLY;
          default -> {
            problem("bias", "one of [none, all, lora_only]");
            yield AdapterExtras.Bias.NONE;
          }
        };
    return new AdapterExtras(
        flag("use_dora"),
        list("modules_to_save", this::textOf, "module names"),
        trained,
        flag("lora_bias"),
        tokens());
  }

  /** A list of the embedding's, or lists by module. */
  private TrainableTokens tokens() {
    String key = "trainable_token_indices";
    JsonNode node = get(key);
    Map<String, List<Integer>> ids = new LinkedHashMap<>();
    if (node.isObject()) {
      node.properties().forEach(e -> ids.put(e.getKey(), numbers(key, e.getValue())));
    } else if (!node.isNull()) {
      ids.put("embed_tokens", numbers(key, node));
    }
    try {
      return new TrainableTokens(ids);
    } catch (InvalidInputException e) {
      e.problems().forEach(line -> problems.add(file + ": " + line));
      return TrainableTokens.NONE;
    }
  }

  private List<Integer> numbers(String key, JsonNode node) {
    List<Integer> numbers = new ArrayList<>();
    for (JsonNode item : node) {
      numbers.add(integerOf(item));
    }
    if (!node.isArray() || numbers.contains(null)) {
      problem(key, "a list of token ids, or such lists by module name");
      return List.of();
    }
    return numbers;
  }

  private List<String> unknownKeys() {
    List<String> unknown = new ArrayList<>();
    json.fieldNames()
        .forEachRemaining(
            key -> {
              if (!READ.contains(key)
                  && !WITHOUT_MEANING.contains(key)
                  && !OTHER_METHODS.containsKey(key)
                  && isSet(get(key))) {
                unknown.add(key);
              }
            });
    return unknown;
  }

  private TargetModules modules(String key) {
    JsonNode node = get(key);
    try {
      if (node.isTextual()) {
        return TargetModules.ofString(node.textValue());
      }
      return new TargetModules.Names(list(key, this::textOf, "module names"));
    } catch (InvalidInputException e) {
      e.problems().forEach(line -> problems.add(file + ": " + line));
      return TargetModules.NONE;
    }
  }

  private <V extends Number> PathValues<V> values(String key, Function<JsonNode, V> read) {
    JsonNode node = get(key);
    Map<String, V> map = new LinkedHashMap<>();
    if (!node.isNull() && !node.isObject()) {
      problem(key, "an object of numbers by pattern");
    }
    node.properties()
        .forEach(
            field -> {
              V value = read.apply(field.getValue());
              if (value == null) {
                problems.add(
                    file
                        + ": '"
                        + key
                        + "' gives "
                        + shown(field.getValue())
                        + " for '"
                        + field.getKey()
                        + "', expected a number");
              } else {
                map.put(field.getKey(), value);
              }
            });
    try {
      return new PathValues<>(key, map);
    } catch (InvalidInputException e) {
      e.problems().forEach(line -> problems.add(file + ": " + line));
      return PathValues.none();
    }
  }

  /** Values of a list, or of a single value as PEFT allows it. */
  private <V> List<V> list(String key, Function<JsonNode, V> read, String what) {
    JsonNode node = get(key);
    List<V> values = new ArrayList<>();
    if (node.isNull()) {
      return values;
    }
    for (JsonNode item : node.isArray() ? node : List.of(node)) {
      V value = read.apply(item);
      if (value == null) {
        problem(key, "a list of " + what);
        return List.of();
      }
      values.add(value);
    }
    return values;
  }

  private int integer(String key) {
    Integer value = integerOf(get(key));
    if (value == null) {
      problem(key, "a whole number");
    }
    return value == null ? 1 : value;
  }

  private double number(String key, double ifAbsent) {
    JsonNode node = get(key);
    if (node.isNull() && !Double.isNaN(ifAbsent)) {
      return ifAbsent;
    }
    Double value = numberOf(node);
    if (value == null) {
      problem(key, "a number");
    }
    return value == null ? 0 : value;
  }

  private boolean flag(String key) {
    JsonNode node = get(key);
    if (!node.isNull() && !node.isBoolean()) {
      problem(key, "true or false");
    }
    return node.booleanValue();
  }

  private Optional<String> text(String key) {
    JsonNode node = get(key);
    if (!node.isNull() && !node.isTextual()) {
      problem(key, "a text or null");
    }
    return Optional.ofNullable(node.textValue());
  }

  private Integer integerOf(JsonNode node) {
    return node.isIntegralNumber() && node.canConvertToInt() ? node.intValue() : null;
  }

  private Double numberOf(JsonNode node) {
    return node.isNumber() ? node.doubleValue() : null;
  }

  private String textOf(JsonNode node) {
    return node.textValue();
  }

  private JsonNode get(String key) {
    return json.path(key).isMissingNode() ? NullNode.getInstance() : json.get(key);
  }

  /** Null, false and empty say nothing. */
  private static boolean isSet(JsonNode node) {
    return !(node.isNull()
        || (node.isBoolean() && !node.booleanValue())
        || (node.isContainerNode() && node.isEmpty())
        || (node.isTextual() && node.textValue().isEmpty()));
  }

  private void problem(String key, String expected) {
    problems.add(file + ": '" + key + "' is " + shown(get(key)) + ", expected " + expected);
  }

  private static String shown(JsonNode node) {
    String text = node.toString();
    return text.length() <= 60 ? text : text.substring(0, 57) + "...";
  }

  private void throwProblems() {
    if (!problems.isEmpty()) {
      throw new InvalidInputException(problems);
    }
  }
}
