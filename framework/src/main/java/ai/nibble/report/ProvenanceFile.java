package ai.nibble.report;

import ai.nibble.FileSum;
import ai.nibble.InvalidInputException;
import ai.nibble.hub.HubId;
import ai.nibble.hub.HubModels;
import com.fasterxml.jackson.databind.JsonNode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * {@code provenance.json}: what an adapter, a model or a checkpoint was made of and by, and the
 * sums of its own files. {@link Verification} compares it with what is there.
 *
 * @param version of this form, 1
 * @param run the run's name
 * @param step optimizer steps done
 * @param totalSteps of the whole run
 * @param tokens trained on by then
 * @param started when the run began, ISO 8601, UTC
 * @param written when this was
 * @param resumedFromSteps steps whose checkpoints it was gone on from, the earliest first; empty
 *     for a run in one go
 * @param identity what must be the same in a run that has this result
 * @param seed of initialisation, shuffling and dropout
 * @param computeDtype of activations
 * @param recipe resolved: all keys
 * @param data files of rows and the chat template, where the recipe names one
 * @param rows {@code train} and {@code eval}, as they were encoded
 * @param files beside this one, by name
 */
public record ProvenanceFile(
    int version,
    String run,
    int step,
    int totalSteps,
    long tokens,
    String started,
    String written,
    List<Integer> resumedFromSteps,
    Map<String, String> identity,
    long seed,
    String computeDtype,
    Environment environment,
    Base base,
    List<Data> data,
    Map<String, Rows> rows,
    JsonNode recipe,
    Map<String, FileSum> files) {
  /** Its name. */
  public static final String NAME = "provenance.json";

  /** Of the form that is written. */
  public static final int VERSION = 1;

  /** Copies lists and maps, keeping their order. */
  public ProvenanceFile {
    resumedFromSteps = resumedFromSteps == null ? List.of() : List.copyOf(resumedFromSteps);
    identity = ordered(identity);
    data = data == null ? List.of() : List.copyOf(data);
    rows = ordered(rows);
    files = ordered(files);
  }

  /**
   * The base.
   *
   * @param path the recipe's: a directory or a GGUF file
   * @param hub {@code org/name@commit} where the path is in the hub's cache, else empty
   * @param files its weights, configuration and tokenizer, by name
   */
  public record Base(String path, String hub, Map<String, FileSum> files) {
    public Base {
      hub = hub == null ? "" : hub;
      files = ordered(files);
    }

    public Base(String path, Map<String, FileSum> files) {
      this(path, HubModels.idOf(path).map(HubId::toString).orElse(""), files);
    }
  }

  /**
   * A file that was read.
   *
   * @param key in the recipe, such as {@code datasets.0}
   */
  public record Data(String key, String path, long bytes, String sha256) {
    FileSum sum() {
      return new FileSum(bytes, sha256);
    }
  }

  /**
   * Encoded rows.
   *
   * @param sha256 of all lengths, tokens and labels
   */
  public record Rows(int rows, long tokens, String sha256) {}

  private static <T> Map<String, T> ordered(Map<String, T> map) {
    return map == null ? Map.of() : Collections.unmodifiableMap(new LinkedHashMap<>(map));
  }

  /** Writes it, whole or not at all. */
  public void write(Path directory) throws IOException {
    JsonRecord.write(directory.resolve(NAME), this);
  }

  /**
   * Reads it.
   *
   * @throws InvalidInputException if there is none, or it is not of this form
   */
  public static ProvenanceFile read(Path directory) throws IOException {
    Path file = directory.resolve(NAME);
    if (!Files.isRegularFile(file)) {
      throw new InvalidInputException(
          directory
              + " has no "
              + NAME
              + ": expected the output_dir of 'nibble train', or a checkpoint in it");
    }
    ProvenanceFile read = JsonRecord.read(file, ProvenanceFile.class);
    if (read.version != VERSION || read.base == null || read.files.isEmpty()) {
      throw new InvalidInputException(
          file + ": expected version " + VERSION + " with 'base' and 'files'");
    }
    return read;
  }
}
