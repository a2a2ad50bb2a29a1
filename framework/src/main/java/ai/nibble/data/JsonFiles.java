package ai.nibble.data;

import ai.nibble.FileProblem;
import ai.nibble.InvalidInputException;
import ai.nibble.JsonProblem;
import com.fasterxml.jackson.core.JacksonException;
import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.StreamReadConstraints;
import com.fasterxml.jackson.core.StreamReadFeature;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.regex.Pattern;

/** JSON from files that people hand in: no duplicate keys, nothing behind the value, bounded. */
final class JsonFiles {
  private static final long MAX_BYTES = 16L << 20;

  private static final int MAX_DEPTH = 200;
  private static final int MAX_STRING = 64 << 20;

  private static final int LONGEST_SHOWN = 80;
  private static final Pattern CONTROL = Pattern.compile("\\p{Cntrl}");

  private static final ObjectMapper MAPPER =
      JsonMapper.builder(
              JsonFactory.builder()
                  .enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION)
                  .streamReadConstraints(
                      StreamReadConstraints.builder()
                          .maxNestingDepth(MAX_DEPTH)
                          .maxStringLength(MAX_STRING)
                          .maxNameLength(1 << 20)
                          .build())
                  .build())
          .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
          .build();

  private JsonFiles() {}

  static ObjectMapper mapper() {
    return MAPPER;
  }

  /** A value out of a file, fit for one line of an error message. */
  static String shown(JsonNode value) {
    // a container may hold megabytes: it is described
    if (value.isContainerNode() && value.size() > 8) {
      return (value.isArray() ? "a list of " : "an object of ") + value.size();
    }
    return shown(value.toString());
  }

  /** A text out of a file, fit for one line of an error message. */
  static String shown(String text) {
    String cut = text.length() <= LONGEST_SHOWN ? text : text.substring(0, LONGEST_SHOWN) + "…";
    return CONTROL.matcher(cut).replaceAll("\uFFFD");
  }

  /** The object that a file holds. */
  static JsonNode tree(Path file) {
    try {
      if (!Files.isRegularFile(file)) {
        throw new InvalidInputException(file + " is not a regular file, expected a JSON file");
      }
      if (Files.size(file) > MAX_BYTES) {
        throw new InvalidInputException(
            file + " has " + Files.size(file) + " bytes, expected at most " + MAX_BYTES);
      }
      return object(file, Files.readAllBytes(file));
    } catch (IOException e) {
      throw new InvalidInputException(file + " cannot be read: " + FileProblem.reason(e), e);
    }
  }

  /** The object that the bytes of a file are. */
  static ObjectNode object(Path file, byte[] bytes) {
    try {
      if (MAPPER.readTree(bytes) instanceof ObjectNode root) {
        return root;
      }
      throw new InvalidInputException(file + ": expected a JSON object");
    } catch (JsonProcessingException e) {
      throw new InvalidInputException(file + problem(e), e);
    } catch (IOException e) {
      throw new InvalidInputException(file + " cannot be read: " + FileProblem.reason(e), e);
    }
  }

  /** A value as bytes of JSON. */
  static InputStream stream(JsonNode json) {
    try {
      return new ByteArrayInputStream(MAPPER.writeValueAsBytes(json));
    } catch (JsonProcessingException e) {
      throw new IllegalStateException(e); // it was parsed from JSON
    }
  }

  /** {@code :line:column: what is wrong}, in one line. */
  static String problem(JacksonException e) {
    String place =
        e.getLocation() == null
            ? ""
            : ":" + e.getLocation().getLineNr() + ":" + e.getLocation().getColumnNr();
    return place + ": not valid JSON: " + message(e);
  }

  /** The parser's words without its advice to programmers. */
  static String message(JacksonException e) {
    return JsonProblem.reason(e);
  }
}
