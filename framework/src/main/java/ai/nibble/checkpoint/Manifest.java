package ai.nibble.checkpoint;

import ai.nibble.FileSum;
import ai.nibble.InvalidInputException;
import ai.nibble.JsonProblem;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Stream;

/**
 * {@code manifest.json}: the files of a directory with their sizes and SHA-256 sums. It is written
 * last, so a directory without it is not whole.
 */
public final class Manifest {
  public static final String NAME = "manifest.json";

  private static final JsonMapper JSON = JsonMapper.builder().build();

  private Manifest() {}

  /** The manifest of everything in a directory, which has no directories in it. */
  static byte[] of(Path directory) throws IOException {
    Map<String, FileSum> entries = new LinkedHashMap<>();
    for (Path file : files(directory)) {
      entries.put(file.getFileName().toString(), FileSum.of(file));
    }
    return json(entries);
  }

  private static byte[] json(Map<String, FileSum> entries) throws IOException {
    ObjectNode files = JSON.createObjectNode();
    entries.forEach(
        (name, entry) ->
            files.putObject(name).put("bytes", entry.bytes()).put("sha256", entry.sha256()));
    ObjectNode json = JSON.createObjectNode();
    json.put("version", 1);
    json.set("files", files);
    return JSON.writerWithDefaultPrettyPrinter().writeValueAsBytes(json);
  }

  private static List<Path> files(Path directory) throws IOException {
    try (Stream<Path> entries = Files.list(directory)) {
      return entries.sorted().toList();
    }
  }

  /**
   * Compares a directory with its manifest, which has no sum of its own: it must read as what it
   * says would be written.
   *
   * @throws InvalidInputException naming the first file that is missing, or is not what it was
   */
  static void verify(Path directory) throws IOException {
    Path manifest = directory.resolve(NAME);
    byte[] written = bytes(manifest);
    Map<String, FileSum> entries = read(manifest, written);
    for (Map.Entry<String, FileSum> each : entries.entrySet()) {
      Path file = directory.resolve(each.getKey());
      Optional<String> difference = each.getValue().difference(file);
      if (difference.isPresent()) {
        throw new InvalidInputException(
            file + " " + difference.get() + ": it is not what the manifest lists");
      }
    }
    if (!Arrays.equals(written, json(entries))) {
      throw new InvalidInputException(manifest + " is damaged: it is not as it was written");
    }
  }

  /**
   * The files of a checkpoint, by name.
   *
   * @throws InvalidInputException if the directory has no manifest of this version
   */
  public static Map<String, FileSum> read(Path directory) throws IOException {
    Path file = directory.resolve(NAME);
    return read(file, bytes(file));
  }

  private static byte[] bytes(Path file) throws IOException {
    try {
      return Files.readAllBytes(file);
    } catch (NoSuchFileException e) {
      throw new InvalidInputException(file + " is missing: the checkpoint is not whole", e);
    }
  }

  private static Map<String, FileSum> read(Path file, byte[] written) throws IOException {
    JsonNode json;
    try {
      json = JSON.readTree(written);
    } catch (JsonProcessingException e) {
      throw new InvalidInputException(file + ": not JSON: " + JsonProblem.reason(e), e);
    }
    if (json.path("version").asInt() != 1 || json.path("files").isEmpty()) {
      throw new InvalidInputException(file + ": expected version 1 and 'files'");
    }
    Map<String, FileSum> entries = new LinkedHashMap<>();
    json.path("files")
        .properties()
        .forEach(
            field -> {
              JsonNode entry = field.getValue();
              String sha256 = entry.path("sha256").asText();
              entries.put(field.getKey(), new FileSum(entry.path("bytes").asLong(-1), sha256));
            });
    return entries;
  }
}
