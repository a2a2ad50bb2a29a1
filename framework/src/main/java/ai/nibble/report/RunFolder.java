package ai.nibble.report;

import ai.nibble.InvalidInputException;
import ai.nibble.JsonProblem;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import java.io.BufferedReader;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.stream.Stream;

/**
 * What a run has written so far.
 *
 * @param name of the run
 * @param run empty for one that an earlier Nibble did
 * @param answers as {@code answers.jsonl} has them, in its order
 * @param recipe resolved, as YAML; empty where there is none
 * @param provenance of what was trained, or where that is not there yet of the newest checkpoint
 */
record RunFolder(
    String name,
    Optional<RunFile> run,
    Metrics metrics,
    List<Answer> answers,
    String recipe,
    Optional<ProvenanceFile> provenance,
    List<Saved> checkpoints) {
  private static final String ANSWERS = "answers.jsonl";
  private static final String RECIPE = "recipe.yaml";
  private static final JsonMapper JSON = JsonMapper.builder().build();

  /** The step that the result is of; empty before there is one, or where that is not known. */
  OptionalInt resultStep() {
    boolean isOver = Stream.of(RunFile.FINISHED, "stopped early").anyMatch(status()::startsWith);
    return isOver && provenance.isPresent()
        ? OptionalInt.of(provenance.get().step())
        : OptionalInt.empty();
  }

  /**
   * Answers to one row.
   *
   * @param after null before training was over
   * @param afterRight whether it counted as right
   */
  record Answer(
      String request,
      String expected,
      String before,
      boolean beforeRight,
      String after,
      boolean afterRight) {}

  /** A checkpoint: its steps and the bytes of its files. */
  record Saved(String name, int step, long bytes) {}

  /**
   * Reads it.
   *
   * @throws InvalidInputException if no run wrote there
   */
  static RunFolder read(Path directory) throws IOException {
    Optional<RunFile> run = RunFile.read(directory);
    if (run.isEmpty() && !Files.isRegularFile(directory.resolve(Metrics.FILE))) {
      throw new InvalidInputException(
          directory
              + " has neither "
              + RunFile.NAME
              + " nor "
              + Metrics.FILE
              + ": expected the output_dir of 'nibble train'");
    }
    Path file = directory.toAbsolutePath().normalize().getFileName();
    List<Saved> checkpoints = checkpoints(directory);
    return new RunFolder(
        run.map(RunFile::name).orElse(String.valueOf(file)),
        run,
        Metrics.read(directory.resolve(Metrics.FILE)),
        answers(directory.resolve(ANSWERS)),
        Files.isRegularFile(directory.resolve(RECIPE))
            ? Files.readString(directory.resolve(RECIPE))
            : "",
        provenance(directory, checkpoints),
        checkpoints);
  }

  private static Optional<ProvenanceFile> provenance(Path directory, List<Saved> checkpoints)
      throws IOException {
    List<Path> places = new ArrayList<>(List.of(directory));
    for (int i = checkpoints.size() - 1; i >= 0; i--) {
      places.add(directory.resolve(checkpoints.get(i).name()));
    }
    for (Path place : places) {
      if (Files.isRegularFile(place.resolve(ProvenanceFile.NAME))) {
        return Optional.of(ProvenanceFile.read(place));
      }
    }
    return Optional.empty();
  }

  private static List<Answer> answers(Path file) throws IOException {
    List<Answer> answers = new ArrayList<>();
    if (!Files.isRegularFile(file)) {
      return answers;
    }
    try (BufferedReader lines = Files.newBufferedReader(file, StandardCharsets.UTF_8)) {
      for (String line = lines.readLine(); line != null; line = lines.readLine()) {
        answers.add(answer(JSON.readTree(line)));
      }
    } catch (JsonProcessingException e) {
      throw new InvalidInputException(file + ": not JSON lines: " + JsonProblem.reason(e), e);
    }
    return answers;
  }

  private static Answer answer(JsonNode json) {
    return new Answer(
        json.path("request").asText(),
        json.path("expected").asText(),
        json.path("before").asText(),
        json.path("before_exact").asBoolean(),
        json.has("after") ? json.path("after").asText() : null,
        json.path("after_exact").asBoolean());
  }

  private static List<Saved> checkpoints(Path directory) throws IOException {
    List<Saved> saved = new ArrayList<>();
    try (Stream<Path> entries = Files.list(directory)) {
      for (Path path : entries.toList()) {
        String name = path.getFileName().toString();
        if (name.matches("checkpoint-\\d{1,9}") && Files.isDirectory(path)) {
          saved.add(new Saved(name, Integer.parseInt(name.substring(11)), bytes(path)));
        }
      }
    }
    saved.sort(Comparator.comparingInt(Saved::step));
    return saved;
  }

  private static long bytes(Path directory) throws IOException {
    long bytes = 0;
    try (Stream<Path> files = Files.list(directory)) {
      for (Path file : files.toList()) {
        bytes += Files.isRegularFile(file) ? Files.size(file) : 0;
      }
    }
    return bytes;
  }

  /** How the run stands: {@link RunFile.Session#status}. */
  String status() {
    return run.map(r -> r.sessions().get(r.sessions().size() - 1).status()).orElse("");
  }
}
