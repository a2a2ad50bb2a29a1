package ai.nibble.checkpoint;

import ai.nibble.InvalidInputException;
import ai.nibble.Sha256;
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
import java.util.stream.Stream;

/**
 * {@code manifest.json}: the files of a directory with their sizes and SHA-256 sums. It is written
 * last, so a directory without it is not whole.
 */
final class Manifest {
  static final String NAME = "manifest.json";

  private static final JsonMapper JSON = JsonMapper.builder().build();

  private record Entry(long bytes, String sha256) {}

  private Manifest() {}

  /** The manifest of everything in a directory, which has no directories in it. */
  static byte[] of(Path directory) throws IOException {
    Map<String, Entry> entries = new LinkedHashMap<>();
    for (Path file : files(directory)) {
      Entry entry = new Entry(Files.size(file), Sha256.of(file));
      entries.put(file.getFileName().toString(), entry);
    }
    return json(entries);
  }

  private static byte[] json(Map<String, Entry> entries) throws IOException {
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
    Map<String, Entry> entries = read(manifest, written);
    for (Map.Entry<String, Entry> each : entries.entrySet()) {
      Path file = directory.resolve(each.getKey());
      Entry entry = each.getValue();
      if (!Files.isRegularFile(file)) {
        throw new InvalidInputException(file + " is missing, which the manifest lists");
      }
      if (Files.size(file) != entry.bytes()) {
        throw new InvalidInputException(
            file + " has " + Files.size(file) + " bytes, expected " + entry.bytes());
      }
      if (!Sha256.of(file).equals(entry.sha256())) {
        throw new InvalidInputException(file + " is damaged: its checksum is not the manifest's");
      }
    }
    if (!Arrays.equals(written, json(entries))) {
      throw new InvalidInputException(manifest + " is damaged: it is not as it was written");
    }
  }

  private static byte[] bytes(Path file) throws IOException {
    try {
      return Files.readAllBytes(file);
    } catch (NoSuchFileException e) {
      throw new InvalidInputException(file + " is missing: the checkpoint is not whole", e);
    }
  }

  private static Map<String, Entry> read(Path file, byte[] written) throws IOException {
    JsonNode json;
    try {
      json = JSON.readTree(written);
    } catch (JsonProcessingException e) {
      throw new InvalidInputException(file + ": not JSON: " + e.getOriginalMessage(), e);
    }
    if (json.path("version").asInt() != 1 || json.path("files").isEmpty()) {
      throw new InvalidInputException(file + ": expected version 1 and 'files'");
    }
    Map<String, Entry> entries = new LinkedHashMap<>();
    json.path("files")
        .properties()
        .forEach(
            field -> {
              JsonNode entry = field.getValue();
              String sha256 = entry.path("sha256").asText();
              entries.put(field.getKey(), new Entry(entry.path("bytes").asLong(-1), sha256));
            });
    return entries;
  }
}
