package ai.nibble.data;

import ai.nibble.InvalidInputException;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.ObjectReader;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;

/** The objects of a JSON array, read one by one. */
final class JsonRows implements RowReader {
  // An element of an array has others behind it.
  private static final ObjectReader ELEMENT =
      JsonFiles.mapper()
          .readerFor(Object.class)
          .without(DeserializationFeature.FAIL_ON_TRAILING_TOKENS);

  private final Path path;
  private final JsonParser array;
  private long rows;
  private boolean ended;

  /**
   * @param in at the array's bracket; closed with the reader
   */
  JsonRows(Path path, InputStream in) throws IOException {
    this.path = path;
    // The parser guesses UTF-16 and UTF-32 by itself; what is no UTF-8 was refused before.
    this.array = JsonFiles.mapper().createParser(in);
    array.nextToken();
  }

  @Override
  public Raw next() throws IOException {
    if (ended) {
      return null;
    }
    try {
      JsonToken token = array.nextToken();
      if (token == JsonToken.END_ARRAY) {
        ended = true;
        if (array.nextToken() != null) {
          throw new InvalidInputException(
              path + ":" + array.currentLocation().getLineNr() + ": something follows the array");
        }
        return null;
      }
      if (token == null) {
        ended = true;
        throw new InvalidInputException(
            path + ":" + array.currentLocation().getLineNr() + ": the array does not end");
      }
      String where = path + ":" + array.currentTokenLocation().getLineNr() + ": row " + ++rows;
      return row(ELEMENT.readValue(array), where);
    } catch (JsonProcessingException e) {
      ended = true;
      // Exceeded limits come without a place of their own.
      String place = e.getLocation() == null ? ":" + array.currentLocation().getLineNr() : "";
      throw new InvalidInputException(path + place + JsonFiles.problem(e), e);
    } catch (IOException e) {
      ended = true;
      throw e;
    }
  }

  static Raw row(Object value, String where) {
    if (!(value instanceof Map<?, ?> map)) {
      throw new InvalidInputException(
          where + ": expected a JSON object, got " + Row.describe(value));
    }
    Map<String, Object> columns = new LinkedHashMap<>();
    map.forEach((key, each) -> columns.put((String) key, each));
    return new Raw(columns, where);
  }

  @Override
  public void close() throws IOException {
    array.close();
  }
}
