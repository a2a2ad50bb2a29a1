package ai.nibble.data;

import ai.nibble.InvalidInputException;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.ObjectReader;
import java.io.BufferedInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;
import java.util.NoSuchElementException;

/**
 * Reads the rows of a data file one by one: JSON lines ({@code .jsonl}), a JSON array of objects
 * ({@code .json}, or lines where it begins with an object), or plain text ({@code .txt}), of which
 * every line that is not blank is a row with the column {@code text}.
 *
 * <p>A row that cannot be read is thrown as an {@link InvalidInputException}, and the next call
 * goes on behind it; where nobody can say what is behind it, as in a broken array, the rows end
 * there.
 */
public final class RowFile implements java.util.Iterator<Row>, AutoCloseable {
  // An element of an array has others behind it.
  private static final ObjectReader ELEMENT =
      JsonFiles.mapper()
          .readerFor(Object.class)
          .without(DeserializationFeature.FAIL_ON_TRAILING_TOKENS);

  private final Path path;
  private final Map<String, String> renames;
  private final InputStream in;
  private final Utf8Lines lines;
  private final JsonParser array;
  private final boolean plainText;
  private Row next;
  private long rows;
  private boolean ended;

  /**
   * @param path a regular file
   * @param renames the file's name of a column by the format's
   * @throws InvalidInputException where it is no regular file, or of a kind not read
   */
  public RowFile(Path path, Map<String, String> renames) {
    this.path = path;
    this.renames = Map.copyOf(renames);
    String name = path.getFileName().toString().toLowerCase(Locale.ROOT);
    boolean json = name.endsWith(".json");
    this.plainText = name.endsWith(".txt");
    if (!json && !plainText && !name.endsWith(".jsonl") && !name.endsWith(".ndjson")) {
      throw new InvalidInputException(
          path + ": unknown kind of file, expected one of [.jsonl, .ndjson, .json, .txt]");
    }
    requireFile();
    try {
      this.in = new BufferedInputStream(Files.newInputStream(path), 1 << 16);
      this.array = json && Utf8Lines.firstByte(in, path) == '[' ? arrayParser() : null;
    } catch (IOException e) {
      throw unreadable(e);
    }
    this.lines = array == null ? new Utf8Lines(in, path) : null;
  }

  private void requireFile() {
    String seen = null;
    if (Files.isSymbolicLink(path)) {
      seen = "a symbolic link; give the file it points to";
    } else if (Files.isDirectory(path)) {
      seen = "a directory";
    } else if (!Files.exists(path, LinkOption.NOFOLLOW_LINKS)) {
      seen = "not there";
    } else if (!Files.isRegularFile(path)) {
      seen = "a pipe or device";
    }
    if (seen != null) {
      throw new InvalidInputException(path + ": expected a data file, this is " + seen);
    }
  }

  private JsonParser arrayParser() throws IOException {
    // The parser guesses UTF-16 and UTF-32 by itself; what is no UTF-8 was refused above.
    JsonParser parser = JsonFiles.mapper().createParser(in);
    parser.nextToken();
    return parser;
  }

  @Override
  public boolean hasNext() {
    if (next == null && !ended) {
      next = array != null ? fromArray() : fromLines();
      ended = next == null;
    }
    return next != null;
  }

  @Override
  public Row next() {
    if (!hasNext()) {
      throw new NoSuchElementException();
    }
    Row row = next;
    next = null;
    return row;
  }

  private Row fromLines() {
    String line = lines.next();
    while (line != null && line.isBlank()) {
      line = lines.next();
    }
    if (line == null) {
      return null;
    }
    String where = path + ":" + lines.number();
    if (plainText) {
      return new Row(Map.of("text", line), where, ++rows, renames);
    }
    try {
      return row(JsonFiles.mapper().readValue(line, Object.class), where);
    } catch (JsonProcessingException e) {
      String place = e.getLocation() == null ? "" : ":" + e.getLocation().getColumnNr();
      throw new InvalidInputException(
          where + place + ": not valid JSON: " + JsonFiles.message(e), e);
    }
  }

  private Row fromArray() {
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
      String where = path + ":" + array.currentTokenLocation().getLineNr() + ": row " + (rows + 1);
      return row(ELEMENT.readValue(array), where);
    } catch (JsonProcessingException e) {
      ended = true;
      // Exceeded limits come without a place of their own.
      String place = e.getLocation() == null ? ":" + array.currentLocation().getLineNr() : "";
      throw new InvalidInputException(path + place + JsonFiles.problem(e), e);
    } catch (IOException e) {
      ended = true;
      throw unreadable(e);
    }
  }

  private Row row(Object value, String where) {
    if (!(value instanceof Map<?, ?> map)) {
      throw new InvalidInputException(where + ": expected a JSON object, got " + value);
    }
    Map<String, Object> columns = new LinkedHashMap<>();
    map.forEach((key, each) -> columns.put((String) key, each));
    return new Row(columns, where, ++rows, renames);
  }

  private InvalidInputException unreadable(IOException e) {
    return new InvalidInputException(path + " cannot be read: " + e.getMessage(), e);
  }

  @Override
  public void close() {
    try {
      in.close();
    } catch (IOException e) {
      throw unreadable(e);
    }
  }
}
