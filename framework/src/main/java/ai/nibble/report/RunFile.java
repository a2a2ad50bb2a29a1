package ai.nibble.report;

import ai.nibble.InvalidInputException;
import ai.nibble.data.EncodingSummary;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * {@code run.json}: what a run began with, and how far it came. Written when the run begins and
 * when it ends; a run that was killed is left with the status {@code running}.
 *
 * @param version of this form, 1
 * @param name of the run
 * @param totalSteps of the whole run
 * @param lengths of the training rows
 * @param trainRows rows trained on
 * @param evalRows rows evaluated on
 * @param sessions the run itself, and before it those that it went on from, the oldest first
 */
public record RunFile(
    int version,
    String name,
    int totalSteps,
    Environment environment,
    Model model,
    List<Data> data,
    Lengths lengths,
    int trainRows,
    int evalRows,
    List<Session> sessions) {
  /** Its name in an output directory. */
  public static final String NAME = "run.json";

  /** How {@link Session#status} begins of one that ended because the loss no longer fell. */
  public static final String STOPPED_EARLY = "stopped early";

  /** Of the form that is written. */
  public static final int VERSION = 1;

  /** {@link Session#status} while it lasts. */
  public static final String RUNNING = "running";

  /** {@link Session#status} of one that came to the end. */
  public static final String FINISHED = "finished";

  public RunFile {
    data = data == null ? List.of() : List.copyOf(data);
    sessions = sessions == null ? List.of() : List.copyOf(sessions);
  }

  /**
   * What is trained.
   *
   * @param base its path
   * @param adapter {@code qlora}, {@code lora} or {@code none}
   * @param weightBytes of the loaded base
   * @param modules that carry an adapter; 0: all weights are trained
   * @param trainedParameters in all
   * @param computeDtype of activations
   * @param vocabulary what became of the base's; null: nothing
   */
  public record Model(
      String base,
      String adapter,
      int layers,
      long weightBytes,
      int modules,
      long trainedParameters,
      String computeDtype,
      Vocabulary vocabulary) {}

  /**
   * What a run does to the embedding and the output head besides training adapters on them.
   *
   * @param newTokens ids of the tokens that it adds, by text
   * @param trainedRows ids of the tokens whose rows are trained by themselves, by table
   * @param untiedBy the recipe's key by which the two part that are one in the base; null: none
   */
  public record Vocabulary(
      Map<String, Integer> newTokens, Map<String, List<Integer>> trainedRows, String untiedBy) {
    public Vocabulary {
      newTokens = newTokens == null ? Map.of() : newTokens;
      trainedRows = trainedRows == null ? Map.of() : trainedRows;
    }
  }

  /**
   * A file of rows.
   *
   * @param key in the recipe, such as {@code datasets.0}
   * @param encoding what became of its rows
   * @param weight how often an epoch has each of them; null: once
   */
  public record Data(String key, String path, EncodingSummary encoding, Double weight) {}

  /**
   * One process's part of the run.
   *
   * @param firstStep steps done before
   * @param step steps done in all
   * @param started ISO 8601, UTC
   * @param seconds wall-clock time from when all was loaded
   * @param status {@code running}, {@code finished}, {@code stopped} or {@code failed: …}
   * @param peakMemoryBytes the most that was ever resident in the process
   */
  public record Session(
      int firstStep,
      int step,
      String started,
      double seconds,
      String status,
      long peakMemoryBytes) {
    /** Whether all was trained that was to be. */
    public boolean cameToEnd() {
      return status != null && (status.startsWith(FINISHED) || status.startsWith(STOPPED_EARLY));
    }
  }

  /** The same with its last session as it is now. */
  public RunFile with(Session now) {
    List<Session> all = new ArrayList<>(sessions.subList(0, sessions.size() - 1));
    all.add(now);
    return new RunFile(
        version, name, totalSteps, environment, model, data, lengths, trainRows, evalRows, all);
  }

  /** Writes it to an output directory. */
  public void write(Path directory) throws IOException {
    JsonRecord.write(directory.resolve(NAME), this);
  }

  /**
   * Reads it; empty where there is none.
   *
   * @throws InvalidInputException if it is not of this form
   */
  public static Optional<RunFile> read(Path directory) throws IOException {
    Path file = directory.resolve(NAME);
    if (!Files.isRegularFile(file)) {
      return Optional.empty();
    }
    RunFile run = JsonRecord.read(file, RunFile.class);
    if (run.version != VERSION || run.model == null || run.sessions.isEmpty()) {
      throw new InvalidInputException(
          file + ": expected version " + VERSION + " with 'model' and 'sessions'");
    }
    return Optional.of(run);
  }
}
