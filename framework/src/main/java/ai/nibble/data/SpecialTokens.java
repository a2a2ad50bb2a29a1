package ai.nibble.data;

import ai.nibble.InvalidInputException;
import com.fasterxml.jackson.databind.JsonNode;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;

/**
 * The special tokens a model directory names, from {@code tokenizer_config.json} and, where that is
 * silent, {@code special_tokens_map.json}.
 *
 * @param texts text by name ({@code bos_token}, {@code eos_token}, {@code pad_token}, {@code
 *     unk_token}, …), as chat templates see them
 * @param addBos whether plain text begins with the beginning-of-sequence token, where the
 *     configuration says so
 */
public record SpecialTokens(Map<String, String> texts, Optional<Boolean> addBos) {
  public SpecialTokens {
    texts = java.util.Collections.unmodifiableMap(new LinkedHashMap<>(texts));
  }

  static SpecialTokens read(Path directory) {
    Map<String, String> texts = new LinkedHashMap<>();
    Path config = directory.resolve("tokenizer_config.json");
    collect(config, texts);
    collect(directory.resolve("special_tokens_map.json"), texts);
    JsonNode addBos = Files.exists(config) ? JsonFiles.tree(config).get("add_bos_token") : null;
    boolean known = addBos != null && addBos.isBoolean();
    return new SpecialTokens(texts, known ? Optional.of(addBos.asBoolean()) : Optional.empty());
  }

  private static void collect(Path file, Map<String, String> texts) {
    if (!Files.exists(file)) {
      return;
    }
    for (Map.Entry<String, JsonNode> entry : JsonFiles.tree(file).properties()) {
      if (!entry.getKey().endsWith("_token") || entry.getValue().isBoolean()) {
        continue;
      }
      JsonNode value = entry.getValue();
      JsonNode text = value.isObject() ? value.get("content") : value;
      if (text != null && text.isTextual()) {
        texts.putIfAbsent(entry.getKey(), text.asText());
      } else if (text != null && !text.isNull()) {
        throw new InvalidInputException(
            file
                + ": '"
                + JsonFiles.shown(entry.getKey())
                + "' is "
                + JsonFiles.shown(value)
                + ", expected a string");
      }
    }
  }
}
