package ai.nibble.report;

import ai.nibble.InvalidInputException;
import ai.nibble.JsonProblem;
import ai.nibble.WholeFile;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.PropertyNamingStrategies;
import com.fasterxml.jackson.databind.SerializationFeature;
import com.fasterxml.jackson.databind.json.JsonMapper;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;

/**
 * Records as files of JSON, whole or absent; keys that are not known are passed over in reading.
 */
final class JsonRecord {
  /** Largest file read: recipes and lists of files are far from it. */
  private static final long MOST_BYTES = 64 << 20;

  static final JsonMapper JSON =
      JsonMapper.builder()
          .propertyNamingStrategy(PropertyNamingStrategies.SNAKE_CASE)
          .enable(SerializationFeature.INDENT_OUTPUT)
          .disable(DeserializationFeature.FAIL_ON_UNKNOWN_PROPERTIES)
          .build();

  private JsonRecord() {}

  static void write(Path file, Object value) throws IOException {
    byte[] json = JSON.writeValueAsBytes(value);
    WholeFile.write(file, new String(json, StandardCharsets.UTF_8) + "\n");
  }

  /**
   * Reads one.
   *
   * @throws InvalidInputException if the file is not JSON of that form
   */
  static <T> T read(Path file, Class<T> type) throws IOException {
    if (Files.size(file) > MOST_BYTES) {
      throw new InvalidInputException(
          file + " has " + Files.size(file) + " bytes, expected a file that Nibble wrote");
    }
    try {
      T value = JSON.readValue(Files.readAllBytes(file), type);
      if (value == null) {
        throw new InvalidInputException(file + " holds null, expected an object");
      }
      return value;
    } catch (JsonProcessingException e) {
      String where =
          e.getLocation() == null
              ? ""
              : ":" + e.getLocation().getLineNr() + ":" + e.getLocation().getColumnNr();
      throw new InvalidInputException(
          file + where + ": not what Nibble writes there: " + JsonProblem.reason(e), e);
    }
  }
}
