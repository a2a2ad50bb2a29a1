package ai.nibble.generate;

import ai.nibble.data.PromptEncoder;
import ai.nibble.data.Tokenizer;
import ai.nibble.model.GenerationConfig;
import ai.nibble.model.ModelConfig;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;

/** The tokens that end an answer. */
public final class StopTokens {
  private StopTokens() {}

  /**
   * Those that {@code generation_config.json} or else {@code config.json} names, the tokenizer's
   * end of sequence, and what the chat template closes the assistant's turn with.
   *
   * @param directory of the model's files
   * @throws ai.nibble.InvalidInputException if generation_config.json is there and damaged
   */
  public static Set<Integer> of(
      Path directory, ModelConfig config, Tokenizer tokenizer, PromptEncoder prompts) {
    Set<Integer> ids = new TreeSet<>(GenerationConfig.read(directory, config).eosTokenIds());
    tokenizer.eosId().ifPresent(ids::add);
    prompts.endOfTurn().ifPresent(ids::add);
    return ids;
  }

  /**
   * What a person should know of them: that no token ends an answer, or which do and who says so
   * where a model's files do not agree.
   *
   * @param directory of the model's files
   * @return one line each, mostly none
   */
  public static List<String> notices(
      Path directory, ModelConfig config, Tokenizer tokenizer, PromptEncoder prompts) {
    List<Integer> generation = GenerationConfig.read(directory, config).eosTokenIds();
    boolean own = !generation.equals(config.eosTokenIds());
    Map<String, Set<Integer>> sources = new LinkedHashMap<>();
    sources.put(
        own ? GenerationConfig.NAME : "config.json or its default", new TreeSet<>(generation));
    sources.put("the tokenizer's eos_token", new TreeSet<>());
    tokenizer.eosId().ifPresent(sources.get("the tokenizer's eos_token")::add);
    sources.put("the chat template", new TreeSet<>());
    prompts.endOfTurn().ifPresent(sources.get("the chat template")::add);
    sources.values().removeIf(Set::isEmpty);
    if (sources.isEmpty()) {
      return List.of(
          "no token ends an answer: neither the configuration, nor the tokenizer, nor a chat"
              + " template names one; answers end at --max-new-tokens or a --stop text");
    }
    List<String> lines = new ArrayList<>();
    if (new HashSet<>(sources.values()).size() > 1) {
      lines.add("answers end at any of " + shown(sources, tokenizer));
    }
    List<Integer> left = new ArrayList<>(config.eosTokenIds());
    left.removeAll(of(directory, config, tokenizer, prompts));
    if (!left.isEmpty()) {
      lines.add(
          "config.json names as eos_token_id "
              + left.stream().map(id -> shown(id, tokenizer)).toList()
              + ", not followed: "
              + GenerationConfig.NAME
              + " counts");
    }
    return lines;
  }

  /** Each token with those that name it. */
  private static String shown(Map<String, Set<Integer>> sources, Tokenizer tokenizer) {
    Map<Integer, List<String>> byToken = new LinkedHashMap<>();
    sources.forEach(
        (source, ids) ->
            ids.forEach(id -> byToken.computeIfAbsent(id, i -> new ArrayList<>()).add(source)));
    List<String> parts = new ArrayList<>();
    byToken.forEach(
        (id, names) -> parts.add(shown(id, tokenizer) + " (" + String.join(", ", names) + ")"));
    return String.join(", ", parts);
  }

  /** The text of a token, in one line. */
  public static String shown(int id, Tokenizer tokenizer) {
    String text = id < tokenizer.vocabSize() ? tokenizer.decode(new int[] {id}, false) : "";
    boolean printed = text.chars().noneMatch(c -> Character.isISOControl(c) || c == 0xfffd);
    return printed && !text.isBlank() ? text : "token " + id;
  }
}
