package ai.nibble.data;

import ai.nibble.InvalidInputException;
import com.fasterxml.jackson.databind.JsonNode;
import java.nio.file.Path;
import java.util.Map;

/** The merges of a BPE model: each must join two known tokens to a known third. */
final class MergeCheck {
  private MergeCheck() {}

  static void check(Path path, JsonNode model, Map<String, Integer> ids) {
    JsonNode merges = model.get("merges");
    if (merges == null || merges.isNull()) {
      return;
    }
    if (!merges.isArray()) {
      throw new InvalidInputException(
          path + ": 'merges' is " + JsonFiles.shown(merges) + ", expected a list");
    }
    String prefix = model.path("continuing_subword_prefix").asText("");
    if (model.path("continuing_subword_prefix").isNull()) {
      prefix = "";
    }
    for (int i = 0; i < merges.size(); i++) {
      String[] pair = pair(path, i, merges.get(i));
      for (String part : pair) {
        require(path, i, part, ids);
      }
      // The library cuts the prefix off the right part without looking.
      if (!pair[1].startsWith(prefix)) {
        throw new InvalidInputException(
            path
                + ": merges["
                + i
                + "]: '"
                + JsonFiles.shown(pair[1])
                + "' does not begin with continuing_subword_prefix '"
                + JsonFiles.shown(prefix)
                + "'");
      }
      require(path, i, pair[0] + pair[1].substring(prefix.length()), ids);
    }
  }

  private static String[] pair(Path path, int index, JsonNode merge) {
    if (merge.isArray()
        && merge.size() == 2
        && merge.get(0).isTextual()
        && merge.get(1).isTextual()) {
      return new String[] {merge.get(0).asText(), merge.get(1).asText()};
    }
    String[] parts = merge.asText().split(" ", -1);
    if (!merge.isTextual() || parts.length != 2) {
      throw new InvalidInputException(
          path + ": merges[" + index + "] is " + JsonFiles.shown(merge) + ", expected two tokens");
    }
    return parts;
  }

  private static void require(Path path, int index, String token, Map<String, Integer> ids) {
    if (!ids.containsKey(token)) {
      throw new InvalidInputException(
          path
              + ": merges["
              + index
              + "] names '"
              + JsonFiles.shown(token)
              + "', which is not in the vocabulary");
    }
  }
}
