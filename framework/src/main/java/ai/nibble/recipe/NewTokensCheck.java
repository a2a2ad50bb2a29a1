package ai.nibble.recipe;

import ai.nibble.InvalidInputException;
import ai.nibble.data.ExtendedBases;
import ai.nibble.data.NewTokens;
import ai.nibble.lora.LoraConfig;
import ai.nibble.lora.TargetMatcher;
import ai.nibble.model.CausalLm;
import ai.nibble.model.ExtendedBase;
import ai.nibble.model.ModelConfig;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** Whether new tokens can be added, and whether anything trains their rows. */
final class NewTokensCheck {
  private static final List<String> KEYS =
      List.of("tokens", "additional_special_tokens", "special_tokens");

  private NewTokensCheck() {}

  /** What the values that could be read add; that a list repeats an entry was said in reading. */
  @SuppressWarnings("unchecked")
  private static NewTokens wanted(Map<String, Object> values) {
    return new NewTokens(
        texts(values, "tokens"),
        texts(values, "additional_special_tokens"),
        (Map<String, String>) values.getOrDefault("special_tokens", Map.of()));
  }

  @SuppressWarnings("unchecked")
  private static List<String> texts(Map<String, Object> values, String key) {
    return ((List<String>) values.getOrDefault(key, List.of())).stream().distinct().toList();
  }

  /**
   * The base with the new tokens; itself where there are none, and empty where they cannot be
   * added, which was said.
   */
  static Optional<Path> base(Map<String, Object> values, Path base, Reading at) {
    try {
      NewTokens wanted = wanted(values);
      return Optional.of(wanted.isEmpty() ? base : ExtendedBases.of(base, wanted));
    } catch (InvalidInputException e) {
      for (String problem : e.problems()) {
        String key = problem.split(":", 2)[0];
        boolean named = KEYS.contains(key);
        report(named ? key : "tokens", named ? problem.substring(key.length() + 2) : problem, at);
      }
      return Optional.empty();
    }
  }

  /**
   * @param base with the new tokens
   * @param config of it
   */
  static void check(Map<String, Object> values, Path base, ModelConfig config, Reading at) {
    List<Integer> added = ExtendedBase.read(base).map(ExtendedBase::newTokens).orElse(List.of());
    TrainedTokenIds trained =
        (TrainedTokenIds) values.getOrDefault("trainable_token_indices", TrainedTokenIds.NONE);
    String key = "trainable_token_indices";
    boolean known = values.keySet().containsAll(KEYS); // else what they add is in doubt
    if (trained.added() && added.isEmpty() && known) {
      report(key, "is 'new', but no key adds a token: add some with tokens", at);
    }
    for (int id : trained.ids()) {
      if (id >= config.vocabSize()) {
        report(key, "token " + id + " is none of the base's " + config.vocabSize() + " tokens", at);
      }
    }
    if (values.get("adapter") == Recipe.Adapter.NONE) {
      if (!trained.isEmpty()) {
        report(key, "goes with an adapter, but adapter: none trains all rows: remove it", at);
      }
      return;
    }
    if (needsTraining(values, added) && !isTrained(values, trained, added)) {
      report(
          KEYS.stream().filter(at.positions()::containsKey).findFirst().orElse("tokens"),
          "adds "
              + added.size()
              + " tokens whose rows nothing trains, they would stay as they begin: add"
              + " trainable_token_indices: new, which trains these rows alone, or"
              + " lora_modules_to_save: [embed_tokens, lm_head]",
          at);
    } else if (needsTraining(values, added)
        && !isHeadTrained(values, trained, added, config.tieWordEmbeddings())) {
      at.notice(
          at.positions().getOrDefault("tokens", at.positions().get("base_model")),
          "new tokens are read, but never learned to be written: nothing trains their rows of the"
              + " output head; trainable_token_indices: new does, or lm_head in"
              + " lora_modules_to_save");
    }
  }

  /** A token that only fills batches needs no row of its own. */
  private static boolean needsTraining(Map<String, Object> values, List<Integer> added) {
    NewTokens wanted = wanted(values);
    List<String> learned = new ArrayList<>(wanted.tokens());
    learned.addAll(wanted.additional());
    wanted
        .roles()
        .forEach(
            (role, text) -> {
              if (!role.equals("pad_token")) {
                learned.add(text);
              }
            });
    return !added.isEmpty() && !learned.isEmpty();
  }

  private static boolean isTrained(
      Map<String, Object> values, TrainedTokenIds trained, List<Integer> added) {
    return areRowsTrained(trained, added) || isTableTrained(values, CausalLm.EMBEDDING);
  }

  /** A list of ids is of the embedding's rows, and of the head's where they are the same. */
  private static boolean isHeadTrained(
      Map<String, Object> values, TrainedTokenIds trained, List<Integer> added, boolean tied) {
    return trained.added()
        || tied && areRowsTrained(trained, added)
        || isTableTrained(values, CausalLm.HEAD);
  }

  private static boolean areRowsTrained(TrainedTokenIds trained, List<Integer> added) {
    return trained.added() || trained.ids().containsAll(added);
  }

  private static boolean isTableTrained(Map<String, Object> values, String table) {
    LoraConfig lora = LoraSettings.of(values);
    return lora.extras().saves(table) || new TargetMatcher(lora).targets(table);
  }

  private static void report(String key, String problem, Reading at) {
    Position position = at.positions().getOrDefault(key, at.positions().get("base_model"));
    at.problems().add(position, "'" + key + "': " + problem);
  }
}
