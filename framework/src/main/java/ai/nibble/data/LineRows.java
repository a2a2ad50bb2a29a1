package ai.nibble.data;

import ai.nibble.InvalidInputException;
import com.fasterxml.jackson.core.JsonProcessingException;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Path;
import java.util.Map;

/** Lines that are not blank: a JSON object each, or plain text as the column {@code text}. */
final class LineRows implements RowReader {
  private final Path path;
  private final InputStream in;
  private final Utf8Lines lines;
  private final boolean plainText;

  LineRows(Path path, InputStream in, boolean plainText) {
    this.path = path;
    this.in = in;
    this.lines = new Utf8Lines(in, path);
    this.plainText = plainText;
  }

  @Override
  public Raw next() {
    String line = lines.next();
    while (line != null && line.isBlank()) {
      line = lines.next();
    }
    if (line == null) {
      return null;
    }
    String where = path + ":" + lines.number();
    if (plainText) {
      return new Raw(Map.of("text", line), where);
    }
    try {
      return JsonRows.row(JsonFiles.mapper().readValue(line, Object.class), where);
    } catch (JsonProcessingException e) {
      String place = e.getLocation() == null ? "" : ":" + e.getLocation().getColumnNr();
      throw new InvalidInputException(
          where + place + ": not valid JSON: " + JsonFiles.message(e), e);
    }
  }

  @Override
  public void close() throws IOException {
    in.close();
  }
}
