package ai.nibble.gguf.vocabulary;

import ai.nibble.InvalidInputException;
import ai.nibble.gguf.GgufMetadata;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;

/**
 * The tokens that a GGUF file holds.
 *
 * @param texts by id; each once
 * @param types by id, by the numbers of the package's page
 * @param ids by text
 */
record Vocabulary(
    GgufMetadata metadata, List<String> texts, long[] types, Map<String, Integer> ids) {
  static final String MODEL = "tokenizer.ggml.model";
  static final String PRE = "tokenizer.ggml.pre";
  static final String TOKENS = "tokenizer.ggml.tokens";
  static final String TYPES = "tokenizer.ggml.token_type";
  static final String SCORES = "tokenizer.ggml.scores";
  static final String MERGES = "tokenizer.ggml.merges";

  static final int NORMAL = 1;
  static final int UNKNOWN = 2;
  static final int CONTROL = 3;
  static final int USER_DEFINED = 4;
  static final int UNUSED = 5;
  static final int BYTE = 6;

  /**
   * Reads it.
   *
   * @throws InvalidInputException where there are no tokens, or two have one text
   */
  static Vocabulary read(GgufMetadata metadata) {
    List<String> texts = metadata.getStrings(TOKENS);
    long[] types = types(metadata, texts.size());
    Map<String, Integer> ids = new HashMap<>();
    for (int id = 0; id < texts.size(); id++) {
      Integer other = ids.putIfAbsent(texts.get(id), id);
      if (other != null) {
        throw metadata.bad(
            TOKENS,
            "tokens %d and %d are the same text, expected each once; convert the model again"
                .formatted(other, id));
      }
    }
    return new Vocabulary(metadata, texts, types, ids);
  }

  /** A file without types has normal tokens only. */
  private static long[] types(GgufMetadata metadata, int tokens) {
    if (metadata.contains(TYPES)) {
      return metadata.getLongs(TYPES); // as many as tokens: checked on opening
    }
    long[] types = new long[tokens];
    java.util.Arrays.fill(types, NORMAL);
    return types;
  }

  int size() {
    return texts.size();
  }

  boolean isOfType(int id, int type) {
    return types[id] == type;
  }

  /**
   * The id of a role such as {@code bos}.
   *
   * @throws InvalidInputException where it is none of the tokens'
   */
  OptionalInt role(String role) {
    String key = "tokenizer.ggml." + role + "_token_id";
    if (!metadata.contains(key)) {
      return OptionalInt.empty();
    }
    return OptionalInt.of(metadata.getInt(key, 0, size() - 1));
  }

  /** The text of a role's token. */
  Optional<String> textOf(String role) {
    OptionalInt id = role(role);
    return id.isPresent() ? Optional.of(texts.get(id.getAsInt())) : Optional.empty();
  }

  /** What the file says of the tokenizer's kind. */
  String model() {
    return metadata.getString(MODEL);
  }

  boolean flag(String name, boolean absent) {
    return metadata.getBoolean("tokenizer.ggml." + name, absent);
  }
}
