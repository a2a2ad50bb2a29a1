package ai.nibble.recipe;

import ai.nibble.InvalidInputException;
import ai.nibble.lora.AdaptedTables;
import ai.nibble.lora.AdapterConfig;
import ai.nibble.lora.AdapterConfigFile;
import ai.nibble.lora.Agreement;
import ai.nibble.lora.InitLoraWeights;
import ai.nibble.lora.LoraConfig;
import ai.nibble.lora.TargetMatcher;
import ai.nibble.lora.TrainableTokens;
import ai.nibble.lora.WholeModules;
import ai.nibble.model.AllWeights;
import ai.nibble.model.CausalLm;
import ai.nibble.model.ModelConfig;
import ai.nibble.model.PlacementCheck;
import ai.nibble.model.WeightSource;
import ai.nibble.quant.SkipModules;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** Whether the base can be trained as the recipe says, by its configuration alone. */
final class ModelCheck {
  /** What a message about the adapter begins with, by the key it is about. */
  private static final Map<String, String> KEYS =
      Map.of(
          "target_modules", "lora_target_modules",
          "layers_to_transform", "layers_to_transform",
          "modules_to_save", "lora_modules_to_save",
          "use_dora", "use_dora",
          "init_lora_weights", "init_lora_weights",
          "trainable_token_indices", "trainable_token_indices",
          "layers_pattern", "layers_pattern",
          "exclude_modules", "exclude_modules",
          "rank_pattern", "rank_pattern",
          "alpha_pattern", "alpha_pattern");

  private ModelCheck() {}

  /**
   * @param values the keys that could be read
   */
  static void check(Map<String, Object> values, Reading at) {
    if (!(values.get("base_model") instanceof Path base)) {
      return;
    }
    Path file;
    Path extended;
    try {
      if (!Files.isRegularFile(WeightSource.directory(base).resolve("config.json"))) {
        return; // said already
      }
      Optional<Path> with = NewTokensCheck.base(values, base, at);
      if (with.isEmpty()) {
        return;
      }
      extended = with.get();
      file = WeightSource.directory(extended).resolve("config.json");
    } catch (InvalidInputException e) {
      return; // said already
    }
    ModelConfig config;
    List<String> linears;
    List<String> modules;
    boolean adapts = values.get("adapter") != Recipe.Adapter.NONE;
    try {
      config = ModelConfig.read(file, notice -> {});
      linears = CausalLm.linearPaths(config);
      modules = CausalLm.adaptablePaths(config);
      context(config, values, at);
      if (!adapts) {
        AllWeights.requireFits(config, file.toString());
      }
    } catch (InvalidInputException e) {
      e.problems().forEach(problem -> report("base_model", problem, at));
      return;
    }
    if (adapts && !goTogether(values, at)) {
      return;
    }
    NewTokensCheck.check(values, extended, config, at);
    devices(values, config, at);
    if (!adapts) {
      return;
    }
    skipped(values, linears, at);
    initialisation(values, base, at);
    TrainedTokenIds ids =
        (TrainedTokenIds) values.getOrDefault("trainable_token_indices", TrainedTokenIds.NONE);
    TrainableTokens tokens = ids.of(extended, config.tieWordEmbeddings());
    adapter(values, base, tokens, modules, at);
    try {
      WholeModules.of(LoraSettings.of(values));
    } catch (InvalidInputException e) {
      report("lora_modules_to_save", e.getMessage(), at);
    }
    try {
      List<String> adapted = new TargetMatcher(LoraSettings.of(values)).select(modules);
      ranks(values, config, adapted, at);
      tokens(values, tokens, adapted, at);
    } catch (InvalidInputException e) {
      e.problems().forEach(problem -> report(key(problem), problem, at));
    }
  }

  /** Whether the settings that decide which modules are adapted make a configuration at all. */
  private static boolean goTogether(Map<String, Object> values, Reading at) {
    try {
      LoraSettings.of(values);
      return true;
    } catch (InvalidInputException e) {
      e.problems().forEach(problem -> report(key(problem), problem, at));
      return false;
    }
  }

  /** LoftQ learns from what quantising loses, which of a base that is stored so nobody knows. */
  private static void initialisation(Map<String, Object> values, Path base, Reading at) {
    if (!(values.get("init_lora_weights") instanceof InitLoraWeights init)
        || init.kind() != InitLoraWeights.Kind.LOFTQ) {
      return;
    }
    try (WeightSource source = WeightSource.open(base, notice -> {})) {
      source
          .quantization()
          .ifPresent(
              stored ->
                  report(
                      "init_lora_weights",
                      "is 'loftq', which makes up for what quantising loses, but the base is"
                          + " stored quantised ("
                          + stored
                          + "): take the base as it was before, or another value",
                      at));
    } catch (InvalidInputException e) {
      return; // said when its weights are read
    }
  }

  /** Rows of tokens in a table that is trained in another way, too. */
  private static void tokens(
      Map<String, Object> values, TrainableTokens tokens, List<String> adapted, Reading at) {
    LoraSettings.complete(values, tokens)
        .ifPresent(
            lora ->
                AdaptedTables.problems(lora, adapted).stream()
                    .filter(problem -> problem.startsWith("trainable_token_indices"))
                    .forEach(problem -> report("trainable_token_indices", problem, at)));
  }

  /** A rank above a weight's own; said once, however many weights have it. */
  private static void ranks(
      Map<String, Object> values, ModelConfig config, List<String> adapted, Reading at) {
    LoraConfig lora = LoraSettings.complete(values, TrainableTokens.NONE).orElse(null);
    if (lora == null) {
      return;
    }
    Map<String, Long> most = CausalLm.adaptableRanks(config);
    if (values.get("init_lora_weights") instanceof InitLoraWeights init
        && init.kind() == InitLoraWeights.Kind.ORTHOGONAL) {
      adapted.stream()
          .filter(path -> lora.rankOf(path) % 2 != 0)
          .findFirst()
          .ifPresent(
              path ->
                  report(
                      lora.rankPattern().get(path).isPresent() ? "rank_pattern" : "lora_r",
                      "gives '"
                          + path
                          + "' the rank "
                          + lora.rankOf(path)
                          + ", but init_lora_weights: orthogonal needs an even one",
                      at));
    }
    List<String> over =
        adapted.stream().filter(path -> lora.rankOf(path) > most.get(path)).toList();
    if (over.isEmpty()) {
      return;
    }
    String first = over.get(0);
    String key = lora.rankPattern().get(first).isPresent() ? "rank_pattern" : "lora_r";
    String more = over.size() == 1 ? "" : ", and " + (over.size() - 1) + " more";
    at.problems()
        .add(
            at.positions().getOrDefault(key, at.positions().get("base_model")),
            "'"
                + key
                + "' is "
                + lora.rankOf(first)
                + " for '"
                + first
                + "', whose weight has only rank "
                + most.get(first)
                + more
                + ": lower it"
                + (key.equals("lora_r") ? ", or set others in rank_pattern" : ""));
  }

  /** The adapter that training begins with: the kind that the recipe describes, on this base. */
  private static void adapter(
      Map<String, Object> values,
      Path base,
      TrainableTokens tokens,
      List<String> modules,
      Reading at) {
    String key = "lora_model_dir";
    if (!(values.get(key) instanceof Optional<?> given) || given.isEmpty()) {
      return;
    }
    Path directory = (Path) given.get();
    try {
      AdapterConfig saved = AdapterConfigFile.read(directory);
      Optional<LoraConfig> wanted = LoraSettings.complete(values, tokens);
      if (wanted.isPresent()) {
        for (String line : Agreement.differences(saved.lora(), wanted.get(), modules)) {
          report(key, "the adapter is another than this recipe's: " + line, at);
        }
      }
      otherBase(saved, base, key, at);
    } catch (InvalidInputException e) {
      e.problems().forEach(problem -> report(key, problem, at));
    }
  }

  /** What an adapter's configuration names may have moved, or be a name of Hugging Face's. */
  private static void otherBase(AdapterConfig saved, Path base, String key, Reading at) {
    String named = saved.baseModel().orElse("");
    boolean there = !named.isEmpty() && Files.exists(base.getFileSystem().getPath(named));
    if (there && !isSame(Path.of(named), base)) {
      report(
          key,
          "the adapter was trained on '"
              + named
              + "', not on this base_model: set base_model to that, or take another adapter",
          at);
    } else if (!there) {
      at.notice(
          at.positions().getOrDefault(key, at.positions().get("base_model")),
          "the adapter was trained on '"
              + named
              + "', which is not here: that it is this base_model is believed");
    }
  }

  private static boolean isSame(Path a, Path b) {
    try {
      return Files.isSameFile(a, b);
    } catch (IOException e) {
      return false;
    }
  }

  /** A map from modules to devices: that each module has one. */
  private static void devices(Map<String, Object> values, ModelConfig config, Reading at) {
    if (!(values.get("device_map") instanceof DeviceMap map) || map.isAuto()) {
      return;
    }
    for (PlacementCheck.Problem problem : PlacementCheck.of(config, map.modules())) {
      String key = "device_map" + problem.module().map(module -> "." + module).orElse("");
      Position position =
          at.positions()
              .getOrDefault(
                  key, at.positions().getOrDefault("device_map", at.positions().get("base_model")));
      at.problems().add(position, "'" + key + "' " + problem.what());
    }
  }

  private static void skipped(Map<String, Object> values, List<String> linears, Reading at) {
    String key = "llm_int8_skip_modules";
    if (values.get(key) instanceof List<?> names) {
      List<String> skipped = names.stream().map(String.class::cast).toList();
      try {
        new SkipModules(skipped).requireAmong(linears);
      } catch (InvalidInputException e) {
        report(key, e.getMessage().replaceFirst("^" + key + ": ", ""), at);
      }
    }
  }

  /** Rows may be longer than what the model saw before, where that is meant. */
  private static void context(ModelConfig config, Map<String, Object> values, Reading at) {
    int context = config.maxPositionEmbeddings();
    if (values.get("sequence_len") instanceof Integer length && length > context) {
      at.notice(
          at.positions().getOrDefault("sequence_len", at.positions().get("base_model")),
          "'sequence_len' is "
              + length
              + ", more than the model's max_position_embeddings, "
              + context
              + ": it may compute nonsense beyond, and generates no further");
    }
  }

  private static String key(String problem) {
    return KEYS.getOrDefault(problem.split("[: ]", 2)[0], "lora_target_modules");
  }

  private static void report(String key, String problem, Reading at) {
    Position position = at.positions().getOrDefault(key, at.positions().get("base_model"));
    // the adapter names its settings without the recipe's prefix
    String what = problem.replaceFirst("^(" + String.join("|", KEYS.keySet()) + "): ", "");
    at.problems().add(position, "'" + key + "': " + what);
  }
}
