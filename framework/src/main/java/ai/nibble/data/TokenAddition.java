package ai.nibble.data;

import ai.nibble.InvalidInputException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Adds tokens to the files of a tokenizer as transformers does ({@code add_tokens}, {@code
 * add_special_tokens}): at the end of {@code added_tokens}, with the next free ids, found in text
 * as they are written, whatever stands beside them. Roles go into {@code tokenizer_config.json}.
 */
final class TokenAddition {
  private static final String TOKENIZER = "tokenizer.json";
  private static final String CONFIG = "tokenizer_config.json";
  private static final String MAP = "special_tokens_map.json";

  private final Path directory;
  private final TokenizerFile file;
  private final ObjectNode root;
  private final Map<String, Integer> added = new LinkedHashMap<>();
  private final Map<String, ObjectNode> files = new LinkedHashMap<>();
  private int next;

  private TokenAddition(Path directory) {
    this.directory = directory;
    this.file = TokenizerFile.read(directory.resolve(TOKENIZER));
    this.root = file.tree();
    this.next = file.vocabSize();
  }

  /**
   * The files after the addition.
   *
   * @param ids of the new tokens by text, ascending
   * @param files the changed files' content by name
   */
  record Result(Map<String, Integer> ids, Map<String, ObjectNode> files) {}

  /**
   * @param directory of the tokenizer's files
   * @throws InvalidInputException with a line for each new token that exists already
   */
  static Result of(Path directory, NewTokens wanted) {
    TokenAddition addition = new TokenAddition(directory);
    addition.requireNew(wanted);
    wanted.tokens().forEach(token -> addition.add(token, false));
    wanted.additional().forEach(token -> addition.add(token, true));
    wanted.roles().values().forEach(token -> addition.addIfNew(token));
    addition.files.put(TOKENIZER, addition.root);
    addition.name(wanted);
    return new Result(addition.added, addition.files);
  }

  private void requireNew(NewTokens wanted) {
    List<String> problems = new ArrayList<>();
    for (List<String> list : List.of(wanted.tokens(), wanted.additional())) {
      String key = list == wanted.tokens() ? "tokens" : "additional_special_tokens";
      for (String token : list) {
        Integer id = file.ids().get(token);
        if (id != null) {
          problems.add(
              key
                  + ": '"
                  + token
                  + "' is a token of this base already, "
                  + id
                  + ": remove it; its row is trained with trainable_token_indices: ["
                  + id
                  + "]");
        }
      }
    }
    if (!problems.isEmpty()) {
      throw new InvalidInputException(problems);
    }
  }

  private void addIfNew(String token) {
    if (!file.ids().containsKey(token) && !added.containsKey(token)) {
      add(token, true);
    }
  }

  private void add(String text, boolean special) {
    ArrayNode list =
        root.get("added_tokens") instanceof ArrayNode there ? there : root.putArray("added_tokens");
    ObjectNode token = list.addObject();
    token.put("id", next);
    token.put("content", text);
    putManners(token, special);
    added.put(text, next++);
  }

  /** Not part of words or trimmed, and looked for in the text as it was before normalising. */
  private static void putManners(ObjectNode token, boolean special) {
    for (String manner : List.of("single_word", "lstrip", "rstrip", "normalized")) {
      token.put(manner, false);
    }
    token.put("special", special);
  }

  /** Names roles and tokens in the configuration, for transformers; where there is one. */
  private void name(NewTokens wanted) {
    Path path = directory.resolve(CONFIG);
    ObjectNode config =
        Files.exists(path)
            ? (ObjectNode) JsonFiles.tree(path)
            : JsonFiles.mapper().createObjectNode();
    wanted.roles().forEach(config::put);
    if (config.get("added_tokens_decoder") instanceof ObjectNode decoder) {
      added.forEach(
          (text, id) -> {
            ObjectNode token = decoder.putObject(Integer.toString(id));
            token.put("content", text);
            putManners(token, !wanted.tokens().contains(text));
          });
    }
    if (!wanted.additional().isEmpty()) {
      append(config, "additional_special_tokens", wanted.additional());
    }
    files.put(CONFIG, config);
    Path map = directory.resolve(MAP);
    if (Files.exists(map)) {
      ObjectNode roles = (ObjectNode) JsonFiles.tree(map);
      wanted.roles().forEach(roles::put);
      files.put(MAP, roles);
    }
  }

  private static void append(ObjectNode config, String key, List<String> tokens) {
    ArrayNode list = config.get(key) instanceof ArrayNode there ? there : config.putArray(key);
    for (String token : tokens) {
      boolean known = false;
      for (JsonNode item : list) {
        known |= item.path("content").asText(item.asText()).equals(token);
      }
      if (!known) {
        list.add(token);
      }
    }
  }
}
