package ai.nibble.data;

import ai.nibble.InvalidInputException;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;

/** Reads a vocabulary: ids by text, or a list of pieces with their scores. */
final class VocabularyReader {
  /** The library's tree of pieces is as deep as the longest, and freed by recursion. */
  private static final int MAX_PIECE = 1024;

  private final Path path;
  private final boolean checksUnicode;
  private final Map<String, Integer> ids = new HashMap<>();
  private final Map<Integer, String> texts = new HashMap<>();
  private int tokens;
  private int highest = -1;

  /**
   * @param checksUnicode whether any text may hold half of a surrogate pair
   */
  VocabularyReader(Path path, boolean checksUnicode) {
    this.path = path;
    this.checksUnicode = checksUnicode;
  }

  Map<String, Integer> ids() {
    return ids;
  }

  /** How many the model has by itself. */
  int tokens() {
    return tokens;
  }

  /** Highest id + 1. */
  int size() {
    return highest + 1;
  }

  /** Reads the object or list that the parser is at the beginning of. */
  void read(JsonParser parser) throws IOException {
    if (parser.currentToken() == JsonToken.START_OBJECT) {
      object(parser);
    } else {
      pieces(parser);
    }
  }

  private void object(JsonParser parser) throws IOException {
    for (; parser.nextToken() != JsonToken.END_OBJECT; tokens++) {
      String text = parser.currentName();
      JsonToken id = parser.nextToken();
      boolean whole = id == JsonToken.VALUE_NUMBER_INT;
      boolean fits = whole && parser.getNumberType() == JsonParser.NumberType.INT;
      if (!fits || parser.getIntValue() < 0) {
        throw noId("vocab", text, id.isStructStart() ? id.asString() + "…" : parser.getText());
      }
      if (ids.containsKey(text)) {
        throw new InvalidInputException(
            path + ": vocab: token '" + JsonFiles.shown(text) + "' stands there twice");
      }
      put("vocab", text, parser.getIntValue());
    }
  }

  private void pieces(JsonParser parser) throws IOException {
    for (; parser.nextToken() != JsonToken.END_ARRAY; tokens++) {
      boolean pair =
          parser.currentToken() == JsonToken.START_ARRAY
              && parser.nextToken() == JsonToken.VALUE_STRING;
      String text = pair ? parser.getText() : null;
      if (!pair || !parser.nextToken().isNumeric() || parser.nextToken() != JsonToken.END_ARRAY) {
        throw new InvalidInputException(
            path + ": vocab[" + tokens + "] is no pair, expected [piece, score]");
      }
      if (text.length() > MAX_PIECE / 4
          && text.getBytes(StandardCharsets.UTF_8).length > MAX_PIECE) {
        throw new InvalidInputException(
            path
                + ": vocab["
                + tokens
                + "]: a piece of "
                + text.length()
                + " characters, expected at most "
                + MAX_PIECE
                + " bytes");
      }
      checkUnicode("vocab", text);
      // A Unigram vocabulary may repeat a piece; the later index wins, as in the library.
      ids.put(text, tokens);
      texts.put(tokens, text);
      highest = tokens;
    }
  }

  private void checkUnicode(String where, String text) {
    if (checksUnicode) {
      UnicodeCheck.require(path, where, text);
    }
  }

  InvalidInputException noId(String where, String text, String id) {
    return new InvalidInputException(
        path
            + ": "
            + where
            + ": token '"
            + JsonFiles.shown(text)
            + "' has id "
            + JsonFiles.shown(id)
            + ", expected 0 or above");
  }

  /** Adds a token. */
  void put(String where, String text, int id) {
    checkUnicode(where, text);
    Integer boxed = id;
    String other = texts.put(boxed, text);
    if (other != null && !other.equals(text)) {
      throw new InvalidInputException(
          path
              + ": "
              + where
              + ": tokens '"
              + JsonFiles.shown(other)
              + "' and '"
              + JsonFiles.shown(text)
              + "' both have id "
              + id
              + ", expected one token an id");
    }
    ids.put(text, boxed);
    highest = Math.max(highest, id);
  }
}
