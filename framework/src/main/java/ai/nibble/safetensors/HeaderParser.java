package ai.nibble.safetensors;

import ai.nibble.InvalidInputException;
import ai.nibble.JsonProblem;
import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonLocation;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.core.StreamReadConstraints;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.Reader;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.CodingErrorAction;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * Reads the JSON header as a stream of tokens: memory follows the tensors found, never a size the
 * file declares, and reading stops at the first thing that cannot be.
 */
final class HeaderParser {
  static final String METADATA = "__metadata__";

  /**
   * Several times what any file has (a mixture of experts of 30 billion weights, quantised into one
   * file, has 110,000 tensors), and few enough that a header of nothing but small ones takes no
   * more than 100 MB of memory.
   */
  static final int MAX_TENSORS = 400_000;

  /** Of all shapes together; no tensor of a model has more than five. */
  private static final int MAX_DIMENSIONS = 8 * MAX_TENSORS;

  private static final int MAX_METADATA = 10_000;

  /** Depth of the header's JSON is 3; names keep Jackson's own limit of 50,000 characters. */
  private static final JsonFactory JSON =
      JsonFactory.builder()
          .disable(JsonFactory.Feature.INTERN_FIELD_NAMES)
          .disable(JsonFactory.Feature.CANONICALIZE_FIELD_NAMES)
          .streamReadConstraints(StreamReadConstraints.builder().maxNestingDepth(8).build())
          .build();

  /**
   * @param metadata in the order of the file
   * @param tensors sorted by offset
   */
  record Header(Map<String, String> metadata, List<SafetensorsTensor> tensors) {}

  private final Path path;
  private final long bufferBytes;
  private final JsonParser json;
  private final Map<String, String> metadata = new LinkedHashMap<>();
  private final List<SafetensorsTensor> tensors = new ArrayList<>();
  private final Set<String> names = new HashSet<>();
  private long claimedBytes;
  private long dimensions;

  private HeaderParser(Path path, long bufferBytes, JsonParser json) {
    this.path = path;
    this.bufferBytes = bufferBytes;
    this.json = json;
  }

  /**
   * @param path named in errors
   * @param header the header's bytes and nothing else
   * @param bufferBytes bytes of the file behind the header
   * @throws InvalidInputException if the header breaks a rule of the format
   * @throws IOException if the file cannot be read
   */
  static Header parse(Path path, InputStream header, long bufferBytes) throws IOException {
    Reader utf8 =
        new InputStreamReader(
            header,
            StandardCharsets.UTF_8
                .newDecoder()
                .onMalformedInput(CodingErrorAction.REPORT)
                .onUnmappableCharacter(CodingErrorAction.REPORT));
    try (JsonParser json = JSON.createParser(utf8)) {
      HeaderParser parser = new HeaderParser(path, bufferBytes, json);
      parser.root();
      parser.checkLayout();
      return new Header(parser.metadata, parser.tensors);
    } catch (CharacterCodingException e) {
      throw new InvalidInputException(
          path + ": the header is not valid UTF-8; the file is damaged, download it again", e);
    } catch (JsonProcessingException e) {
      throw new InvalidInputException(path + ": the header is " + notJson(e), e);
    }
  }

  /** What Jackson found wrong, on one line; its own limits (a name too long) come without place. */
  static String notJson(JsonProcessingException e) {
    String reason = JsonProblem.reason(e);
    JsonLocation place = e.getLocation();
    return "not valid JSON%s (%s); the file is damaged, download it again"
        .formatted(
            place == null
                ? ""
                : " at line %d column %d".formatted(place.getLineNr(), place.getColumnNr()),
            reason);
  }

  private void root() throws IOException {
    expect(json.nextToken(), JsonToken.START_OBJECT, "the header");
    boolean seenMetadata = false;
    while (json.nextToken() == JsonToken.FIELD_NAME) {
      String name = json.currentName();
      checkText(name);
      if (name.equals(METADATA)) {
        if (seenMetadata) {
          throw problem("key '%s' appears twice", METADATA);
        }
        seenMetadata = true;
        metadata();
      } else {
        if (!names.add(name)) {
          throw problem("tensor '%s' appears twice in the header", shown(name));
        }
        if (names.size() > MAX_TENSORS) {
          throw problem(
              "the header lists more than %,d tensors, expected those of a model; the file is"
                  + " damaged, download it again",
              MAX_TENSORS);
        }
        tensors.add(tensor(name));
      }
    }
    expect(json.currentToken(), JsonToken.END_OBJECT, "the header");
    if (json.nextToken() != null) {
      throw problem("the header goes on after its closing brace");
    }
  }

  private void metadata() throws IOException {
    expect(json.nextToken(), JsonToken.START_OBJECT, METADATA);
    while (json.nextToken() == JsonToken.FIELD_NAME) {
      String key = json.currentName();
      checkText(key);
      expect(json.nextToken(), JsonToken.VALUE_STRING, METADATA + " key '" + shown(key) + "'");
      if (metadata.put(key, json.getText()) != null) {
        throw problem("%s key '%s' appears twice", METADATA, shown(key));
      }
      if (metadata.size() > MAX_METADATA) {
        throw problem("%s has more than %,d keys, expected a few", METADATA, MAX_METADATA);
      }
    }
  }

  private SafetensorsTensor tensor(String name) throws IOException {
    expect(json.nextToken(), JsonToken.START_OBJECT, "tensor '" + shown(name) + "'");
    SafetensorsType type = null;
    List<Long> shape = null;
    List<Long> offsets = null;
    while (json.nextToken() == JsonToken.FIELD_NAME) {
      String key = json.currentName();
      boolean again =
          switch (key) {
            case "dtype" -> {
              boolean seen = type != null;
              type = type(name);
              yield seen;
            }
            case "shape" -> {
              boolean seen = shape != null;
              shape = integers(name, key, SafetensorsTensor.MAX_RANK);
              yield seen;
            }
            case "data_offsets" -> {
              boolean seen = offsets != null;
              offsets = integers(name, key, 2);
              yield seen;
            }
            default ->
                throw problem(
                    "tensor '%s' has the key '%s', expected only dtype, shape and data_offsets",
                    shown(name), shown(key));
          };
      if (again) {
        throw problem("tensor '%s' has the key '%s' twice", shown(name), key);
      }
    }
    String missing =
        type == null ? "dtype" : shape == null ? "shape" : offsets == null ? "data_offsets" : "";
    if (!missing.isEmpty()) {
      throw problem("tensor '%s' has no %s", shown(name), missing);
    }
    if (offsets.size() != 2) {
      throw problem("tensor '%s': data_offsets is %s, expected [begin, end]", shown(name), offsets);
    }
    dimensions += shape.size();
    if (dimensions > MAX_DIMENSIONS) {
      throw problem("the shapes have more than %,d dimensions together", MAX_DIMENSIONS);
    }
    return checked(name, type, shape, offsets.get(0), offsets.get(1));
  }

  private SafetensorsTensor checked(
      String name, SafetensorsType type, List<Long> shape, long begin, long end) {
    if (end < begin) {
      throw problem("tensor '%s': data_offsets [%d, %d] run backwards", shown(name), begin, end);
    }
    if (end > bufferBytes) {
      throw problem(
          "tensor '%s' ends at byte %d of a buffer of %d bytes; the file is truncated or damaged,"
              + " download it again",
          shown(name), end, bufferBytes);
    }
    long expected;
    try {
      expected = SafetensorsTensor.byteCount(type, shape);
    } catch (ArithmeticException e) {
      throw problem("tensor '%s' %s%s: %s", shown(name), type, shape, e.getMessage());
    }
    if (expected != end - begin) {
      throw problem(
          "tensor '%s' %s%s needs %d bytes, its data_offsets [%d, %d] hold %d",
          shown(name), type, shape, expected, begin, end, end - begin);
    }
    // More bytes claimed than there are means an overlap: say so now, not after a million entries.
    claimedBytes += end - begin;
    if (claimedBytes > bufferBytes) {
      throw problem(
          "tensor '%s' at [%d, %d] overlaps another: together the tensors claim more than the"
              + " buffer's %d bytes",
          shown(name), begin, end, bufferBytes);
    }
    return new SafetensorsTensor(name, type, shape, begin, end);
  }

  private SafetensorsType type(String name) throws IOException {
    expect(json.nextToken(), JsonToken.VALUE_STRING, "dtype of tensor '" + shown(name) + "'");
    String dtype = json.getText();
    return SafetensorsType.named(dtype)
        .orElseThrow(
            () ->
                problem(
                    "tensor '%s': dtype '%s' is unknown, expected one of [%s]",
                    shown(name), shown(dtype), SafetensorsType.names()));
  }

  /** An array of integers from 0 to 2^63 − 1. */
  private List<Long> integers(String name, String key, int limit) throws IOException {
    String place = key + " of tensor '" + shown(name) + "'";
    expect(json.nextToken(), JsonToken.START_ARRAY, place);
    List<Long> values = new ArrayList<>();
    while (json.nextToken() != JsonToken.END_ARRAY) {
      expect(json.currentToken(), JsonToken.VALUE_NUMBER_INT, place);
      boolean negative = json.getText().startsWith("-");
      if (negative || json.getNumberType() == JsonParser.NumberType.BIG_INTEGER) {
        throw problem(
            "%s holds %s, expected integers from 0 to 2^63-1", place, shown(json.getText()));
      }
      if (values.size() == limit) {
        throw problem("%s has more than %d entries", place, limit);
      }
      values.add(json.getLongValue());
    }
    return values;
  }

  private void checkLayout() {
    tensors.sort(
        Comparator.comparingLong(SafetensorsTensor::begin)
            .thenComparingLong(SafetensorsTensor::end));
    long next = 0;
    for (SafetensorsTensor tensor : tensors) {
      if (tensor.begin() != next) {
        throw problem(
            "tensor '%s' begins at byte %d of the buffer, expected %d: %s",
            shown(tensor.name()),
            tensor.begin(),
            next,
            tensor.begin() < next ? "it overlaps the one before it" : "there is a hole before it");
      }
      next = tensor.end();
    }
    if (next != bufferBytes) {
      throw problem(
          "the tensors end at byte %d of the buffer, but %d more bytes follow; the file is damaged"
              + " or something was appended, download it again",
          next, bufferBytes - next);
    }
  }

  private void expect(JsonToken seen, JsonToken wanted, String place) {
    if (seen != wanted) {
      throw problem("%s holds %s, expected %s", place, describe(seen), describe(wanted));
    }
  }

  private static String describe(JsonToken token) {
    if (token == null) {
      return "nothing more";
    }
    return switch (token) {
      case START_OBJECT -> "an object";
      case START_ARRAY -> "an array";
      case VALUE_STRING -> "a string";
      case VALUE_NUMBER_INT -> "an integer";
      case VALUE_NUMBER_FLOAT -> "a fraction";
      case VALUE_TRUE, VALUE_FALSE -> "a boolean";
      case VALUE_NULL -> "null";
      default -> "something else";
    };
  }

  /** Names must be text: an unpaired surrogate could never be written back. */
  private void checkText(String name) {
    for (int i = 0; i < name.length(); i++) {
      if (Character.isHighSurrogate(name.charAt(i))
          && i + 1 < name.length()
          && Character.isLowSurrogate(name.charAt(i + 1))) {
        i++;
      } else if (Character.isSurrogate(name.charAt(i))) {
        throw problem("the name '%s' holds an unpaired surrogate", shown(name));
      }
    }
  }

  /** A text from the file, made fit for one line of an error message. */
  static String shown(String text) {
    String cut = text.length() > 200 ? text.substring(0, 200) + "…" : text;
    return cut.codePoints()
        .map(
            c ->
                Character.isISOControl(c) || Character.isSurrogate((char) c) && c < 0x10000
                    ? '�'
                    : c)
        .collect(StringBuilder::new, StringBuilder::appendCodePoint, StringBuilder::append)
        .toString();
  }

  private InvalidInputException problem(String format, Object... arguments) {
    return new InvalidInputException(path + ": " + format.formatted(arguments));
  }
}
