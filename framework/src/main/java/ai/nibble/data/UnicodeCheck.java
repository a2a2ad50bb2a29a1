package ai.nibble.data;

import ai.nibble.InvalidInputException;
import com.fasterxml.jackson.databind.JsonNode;
import java.nio.file.Path;
import java.util.Locale;
import java.util.Map;

/**
 * Refuses half of a surrogate pair anywhere in a tokenizer: JSON can spell it, UTF-8 cannot hold
 * it, and the native library ends the process over it.
 */
final class UnicodeCheck {
  private UnicodeCheck() {}

  /**
   * @param where the node's path, empty for the file's own object
   */
  static void check(Path path, String where, JsonNode node) {
    if (node.isTextual()) {
      require(path, where, node.textValue());
    } else if (node.isArray()) {
      for (int i = 0; i < node.size(); i++) {
        check(path, where, node.get(i));
      }
    } else {
      for (Map.Entry<String, JsonNode> entry : node.properties()) {
        require(path, where.isEmpty() ? "its keys" : where, entry.getKey());
        check(path, where.isEmpty() ? entry.getKey() : where, entry.getValue());
      }
    }
  }

  static void require(Path path, String where, String text) {
    for (int i = 0; i < text.length(); i++) {
      if (Character.isSurrogate(text.charAt(i))) {
        boolean pair =
            Character.isHighSurrogate(text.charAt(i))
                && i + 1 < text.length()
                && Character.isLowSurrogate(text.charAt(i + 1));
        if (!pair) {
          throw new InvalidInputException(
              path
                  + ": '"
                  + where
                  + "' holds half of a surrogate pair, U+"
                  + Integer.toHexString(text.charAt(i)).toUpperCase(Locale.ROOT)
                  + ", expected valid Unicode: fetch the file again");
        }
        i++;
      }
    }
  }
}
