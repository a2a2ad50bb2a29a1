package ai.nibble.data;

import ai.nibble.InvalidInputException;
import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.databind.JsonNode;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Map;
import java.util.Optional;

/** The merges of a BPE model: each must join two known tokens to a known third. */
final class MergeCheck {
  private final Path path;
  private final Map<String, Integer> ids;
  private final String prefix;

  /** Writes the older form; null where that is not needed, or would say something else. */
  private JsonGenerator older;

  private int index;

  /**
   * @param ids of the model's own tokens
   */
  MergeCheck(Path path, JsonNode model, Map<String, Integer> ids) {
    this.path = path;
    this.ids = ids;
    String text = model.path("continuing_subword_prefix").textValue();
    this.prefix = text == null ? "" : text;
  }

  /**
   * @param list a parser of the list alone
   * @return the list in the older form, {@code "left right"} for {@code ["left", "right"]}, where
   *     it is in the newer and says the same in the older
   */
  Optional<byte[]> check(JsonParser list) throws IOException {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    try (JsonGenerator generator = new JsonFactory().createGenerator(bytes)) {
      generator.writeStartArray();
      older = generator;
      pairs(list);
      if (older == null) {
        return Optional.empty();
      }
      generator.writeEndArray();
    }
    return Optional.of(bytes.toByteArray());
  }

  private void pairs(JsonParser list) throws IOException {
    list.nextToken();
    for (; list.nextToken() != JsonToken.END_ARRAY; index++) {
      if (list.currentToken() == JsonToken.VALUE_STRING) {
        String text = list.getText();
        int space = text.indexOf(' ');
        if (space < 0 || text.indexOf(' ', space + 1) >= 0) {
          throw noPair(JsonFiles.shown(text));
        }
        require(text.substring(0, space), text.substring(space + 1));
        older = null;
      } else {
        pair(list);
      }
    }
  }

  private void pair(JsonParser list) throws IOException {
    if (list.currentToken() != JsonToken.START_ARRAY) {
      throw noPair(list.currentToken().isStructStart() ? "an object" : list.getText());
    }
    String left = list.nextTextValue();
    String right = left == null ? null : list.nextTextValue();
    if (right == null || list.nextToken() != JsonToken.END_ARRAY) {
      throw noPair("a list of others");
    }
    require(left, right);
    if (left.indexOf(' ') >= 0 || right.indexOf(' ') >= 0 || left.startsWith("#version")) {
      older = null; // which parts at the space, and takes the other for a comment
    }
    if (older != null) {
      older.writeString(left + ' ' + right);
    }
  }

  private InvalidInputException noPair(String found) {
    return new InvalidInputException(
        path + ": merges[" + index + "] is " + JsonFiles.shown(found) + ", expected two tokens");
  }

  private void require(String left, String right) {
    require(left);
    require(right);
    // The library cuts the prefix off the right part without looking.
    if (!right.startsWith(prefix)) {
      throw new InvalidInputException(
          path
              + ": merges["
              + index
              + "]: '"
              + JsonFiles.shown(right)
              + "' does not begin with continuing_subword_prefix '"
              + JsonFiles.shown(prefix)
              + "'");
    }
    require(left.concat(right.substring(prefix.length())));
  }

  private void require(String token) {
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
