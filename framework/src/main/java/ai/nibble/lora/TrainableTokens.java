package ai.nibble.lora;

import ai.nibble.InvalidInputException;
import ai.nibble.model.CausalLm;
import java.util.Collections;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;

/**
 * Tokens whose rows of the embedding, or of the output head, are trained by themselves: PEFT's
 * {@code trainable_token_indices}. Where a base ties the two, the embedding's rows are the head's
 * as well.
 *
 * @param ids of tokens by module path, in the order in which their rows are saved
 */
public record TrainableTokens(Map<String, List<Integer>> ids) {
  private static final List<String> MODULES = List.of(CausalLm.EMBEDDING, CausalLm.HEAD);

  /** None. */
  public static final TrainableTokens NONE = new TrainableTokens(Map.of());

  /**
   * @throws InvalidInputException with a line for a module or a token that cannot be
   */
  public TrainableTokens {
    Map<String, List<Integer>> byPath = new LinkedHashMap<>();
    for (String path : MODULES) {
      for (Map.Entry<String, List<Integer>> entry : ids.entrySet()) {
        if (isNamed(entry.getKey(), path) && !entry.getValue().isEmpty()) {
          byPath.put(path, checked(entry.getKey(), entry.getValue()));
        }
      }
    }
    for (String name : ids.keySet()) {
      if (MODULES.stream().noneMatch(path -> isNamed(name, path))) {
        throw new InvalidInputException(
            "trainable_token_indices: '"
                + name
                + "' has no tokens, expected embed_tokens, lm_head");
      }
    }
    ids = Collections.unmodifiableMap(byPath);
  }

  private static boolean isNamed(String name, String path) {
    return path.equals(name) || path.endsWith("." + name);
  }

  private static List<Integer> checked(String name, List<Integer> tokens) {
    if (new HashSet<>(tokens).size() < tokens.size()
        || tokens.stream().anyMatch(token -> token < 0)) {
      throw new InvalidInputException(
          "trainable_token_indices: '"
              + name
              + "' is "
              + tokens
              + ", expected ids of tokens, each once");
    }
    return List.copyOf(tokens);
  }

  /** Those of the embedding. */
  public static TrainableTokens ofEmbedding(List<Integer> tokens) {
    return new TrainableTokens(Map.of(CausalLm.EMBEDDING, tokens));
  }

  public boolean isEmpty() {
    return ids.isEmpty();
  }

  /**
   * The same for a base, one entry for each table of its own.
   *
   * @param tied whether embedding and head are one table
   * @throws InvalidInputException if a token is none of the vocabulary, or tied tables should have
   *     rows of their own
   */
  TrainableTokens on(boolean tied, long vocabulary) {
    for (Map.Entry<String, List<Integer>> entry : ids.entrySet()) {
      for (int token : entry.getValue()) {
        if (token >= vocabulary) {
          throw new InvalidInputException(
              "trainable_token_indices: token "
                  + token
                  + " of "
                  + entry.getKey()
                  + " is not in the base's vocabulary of "
                  + vocabulary
                  + ": take a base that was resized for it");
        }
      }
    }
    if (!tied || !ids.containsKey(CausalLm.HEAD)) {
      return this;
    }
    List<Integer> embedding = ids.get(CausalLm.EMBEDDING);
    if (!ids.get(CausalLm.HEAD).equals(embedding)) {
      throw new InvalidInputException(
          "trainable_token_indices: this base ties lm_head to embed_tokens, expected the same"
              + " tokens of both, or embed_tokens alone");
    }
    return ofEmbedding(embedding);
  }

  /** By module name as PEFT has it, for a configuration. */
  Map<String, List<Integer>> byName() {
    return ids.entrySet().stream()
        .collect(
            Collectors.toMap(
                e -> e.getKey().substring(e.getKey().lastIndexOf('.') + 1),
                Map.Entry::getValue,
                (a, b) -> a,
                LinkedHashMap::new));
  }
}
