package ai.nibble.safetensors;

import ai.nibble.FileProblem;
import ai.nibble.InvalidInputException;
import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.core.StreamReadConstraints;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.CharacterCodingException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.regex.Pattern;

/**
 * The list of shards of a model. A shard's name is the only text of a model that becomes a path, so
 * it is held to forward slashes and plain names whatever the operating system.
 *
 * @param path the index file
 * @param shardOf tensor name to file name, in the order of the file
 */
record ShardIndex(Path path, Map<String, String> shardOf) {
  /** The same as for a header: the index lists the same names. */
  private static final long MAX_BYTES = SafetensorsFile.MAX_HEADER_BYTES;

  /** Of all shards together: twice what the largest mixtures of experts have, quantised. */
  static final int MAX_TENSORS = 1_000_000;

  private static final int MAX_NAME = 1024;

  /** Segments of printable characters without separators, drives, streams or leading dots. */
  private static final Pattern PLAIN =
      Pattern.compile("(?!\\.)[^/\\\\:*?\"<>|\\p{Cntrl}]+(/(?!\\.)[^/\\\\:*?\"<>|\\p{Cntrl}]+)*");

  private static final JsonFactory JSON =
      JsonFactory.builder()
          .disable(JsonFactory.Feature.INTERN_FIELD_NAMES)
          .disable(JsonFactory.Feature.CANONICALIZE_FIELD_NAMES)
          .streamReadConstraints(StreamReadConstraints.builder().maxNestingDepth(64).build())
          .build();

  /**
   * @throws InvalidInputException if it is no index, or names a file outside the directory, a file
   *     that is no safetensors file, or one that is missing
   */
  static ShardIndex read(Path path) {
    try {
      if (!Files.isRegularFile(path)) {
        throw new InvalidInputException(path + ": not a regular file");
      }
      if (Files.size(path) > MAX_BYTES) {
        throw new InvalidInputException(
            "%s: %d bytes, expected at most %d".formatted(path, Files.size(path), MAX_BYTES));
      }
      ShardIndex index;
      try (JsonParser json = JSON.createParser(Files.newBufferedReader(path))) {
        index = new ShardIndex(path, weightMap(path, json));
      }
      index.checkShards();
      return index;
    } catch (JsonProcessingException e) {
      throw new InvalidInputException(path + ": " + HeaderParser.notJson(e), e);
    } catch (CharacterCodingException e) {
      throw new InvalidInputException(path + ": not valid UTF-8; download the file again", e);
    } catch (IOException e) {
      throw new UncheckedIOException(path + ": cannot be read: " + FileProblem.reason(e), e);
    }
  }

  private static Map<String, String> weightMap(Path path, JsonParser json) throws IOException {
    if (json.nextToken() != JsonToken.START_OBJECT) {
      throw new InvalidInputException(path + ": expected a JSON object with the key 'weight_map'");
    }
    Map<String, String> map = null;
    while (json.nextToken() == JsonToken.FIELD_NAME) {
      boolean wanted = json.currentName().equals("weight_map");
      json.nextToken();
      if (!wanted) {
        json.skipChildren();
      } else if (map != null) {
        throw new InvalidInputException(path + ": the key 'weight_map' appears twice");
      } else {
        map = entries(path, json);
      }
    }
    if (map == null || map.isEmpty()) {
      throw new InvalidInputException(
          path + (map == null ? ": no key 'weight_map'" : ": 'weight_map' lists no tensors"));
    }
    if (json.nextToken() != null) {
      throw new InvalidInputException(path + ": text follows the JSON object");
    }
    return map;
  }

  private static Map<String, String> entries(Path path, JsonParser json) throws IOException {
    if (json.currentToken() != JsonToken.START_OBJECT) {
      throw new InvalidInputException(path + ": 'weight_map' is not an object");
    }
    Map<String, String> map = new LinkedHashMap<>();
    // Thousands of tensors share a few file names: keep one string of each.
    Map<String, String> shards = new LinkedHashMap<>();
    while (json.nextToken() == JsonToken.FIELD_NAME) {
      String name = json.currentName();
      if (json.nextToken() != JsonToken.VALUE_STRING) {
        throw new InvalidInputException(
            "%s: weight_map['%s'] is not a file name".formatted(path, HeaderParser.shown(name)));
      }
      String shard = shards.computeIfAbsent(json.getText(), s -> s);
      if (map.put(name, shard) != null) {
        throw new InvalidInputException(
            "%s: weight_map has the key '%s' twice".formatted(path, HeaderParser.shown(name)));
      }
      if (map.size() > MAX_TENSORS) {
        throw new InvalidInputException(
            "%s: weight_map lists more than %,d tensors, expected those of a model; download it again"
                .formatted(path, MAX_TENSORS));
      }
    }
    return map;
  }

  /** The files' names, each once, in the order of their first mention. */
  Set<String> shards() {
    return new LinkedHashSet<>(shardOf.values());
  }

  private void checkShards() {
    List<String> problems = new ArrayList<>();
    for (String shard : shards()) {
      String shown = HeaderParser.shown(shard);
      if (shard.length() > MAX_NAME || !PLAIN.matcher(shard).matches()) {
        problems.add(
            "%s: weight_map names '%s', expected a plain file name inside the model directory"
                .formatted(path, shown));
      } else if (!shard.endsWith(".safetensors")) {
        problems.add(
            "%s: weight_map names '%s', expected a .safetensors file; other kinds are not loaded"
                .formatted(path, shown));
      } else if (!Files.exists(path.resolveSibling(shard))) {
        problems.add(
            "%s: weight_map names '%s', which is missing; download it".formatted(path, shown));
      }
      if (problems.size() == 20) {
        break;
      }
    }
    if (!problems.isEmpty()) {
      throw new InvalidInputException(problems);
    }
  }
}
