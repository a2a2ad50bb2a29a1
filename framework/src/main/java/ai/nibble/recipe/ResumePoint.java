package ai.nibble.recipe;

import ai.nibble.FileProblem;
import ai.nibble.InvalidInputException;
import ai.nibble.checkpoint.CheckpointFolder;
import ai.nibble.checkpoint.SavedCheckpoint;
import ai.nibble.checkpoint.TrainerState;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Collectors;

/**
 * Which checkpoint a run goes on from, as {@code resume_from_checkpoint} says. What is not gone on
 * from and would be lost is refused: nothing trained is removed but by {@code
 * overwrite_output_dir}.
 */
final class ResumePoint {
  private static final String WAYS_OUT =
      ": choose another output_dir, or set overwrite_output_dir: true to delete what is there";

  private final Recipe recipe;
  private final PrintStream out;
  private final Path output;
  private final Optional<ResumeFrom> asked;

  /**
   * Where a run begins.
   *
   * @param finished whether there is nothing left to do
   * @param from the checkpoint; empty for a run from the beginning
   */
  record Start(boolean finished, Optional<SavedCheckpoint> from) {}

  /**
   * @param out told of what is passed over or changed
   */
  ResumePoint(Recipe recipe, PrintStream out) {
    this.recipe = recipe;
    this.out = out;
    this.output = recipe.output().outputDir();
    this.asked = recipe.output().resumeFromCheckpoint();
  }

  /**
   * Refuses what the settings alone show to be another run, before rows are encoded. Whether
   * checkpoints are whole is seen later.
   *
   * @throws InvalidInputException with every setting that differs
   */
  void requireSameSettings() {
    if (asked.isEmpty() || recipe.output().resumeWithChanges()) {
      return;
    }
    Map<Path, TrainerState> states = states(asked.get());
    Map<String, String> now = RunIdentity.settings(recipe);
    Map<Path, List<String>> differences = new LinkedHashMap<>();
    states.forEach(
        (path, state) -> {
          Map<String, String> then = RunIdentity.settings(recipe, state.identity());
          differences.put(path, SavedCheckpoint.differences(then, now));
        });
    if (differences.values().stream().anyMatch(List::isEmpty)) {
      return;
    }
    Optional<EarlierResult> result = earlierResult();
    List<String> ofResult = result.map(r -> r.otherSettings(recipe)).orElse(List.of());
    if (!differences.isEmpty() && (result.isEmpty() || !ofResult.isEmpty())) {
      Map.Entry<Path, List<String>> newest = differences.entrySet().iterator().next();
      requireChangesAllowed(newest.getKey(), newest.getValue());
    }
    boolean hasNone = CheckpointFolder.steps(output).isEmpty();
    if (hasNone && !ofResult.isEmpty() && !recipe.output().overwriteOutputDir()) {
      throw kept(result.get(), EarlierResult.ofAnother(ofResult));
    }
  }

  private Optional<EarlierResult> earlierResult() {
    try {
      return EarlierResult.in(output);
    } catch (IOException e) {
      throw new InvalidInputException(output + " cannot be read: " + FileProblem.reason(e), e);
    }
  }

  private Map<Path, TrainerState> states(ResumeFrom from) {
    if (from.checkpoint().isEmpty()) {
      return CheckpointFolder.states(output);
    }
    try {
      Path directory = from.checkpoint().get();
      return Map.of(directory, TrainerState.read(directory));
    } catch (IOException | InvalidInputException e) {
      return Map.of(); // opening it says what is wrong
    }
  }

  /**
   * Where the run begins.
   *
   * @param run what identifies it; asked only where something is gone on from
   * @throws InvalidInputException if the checkpoint is not whole, or of another run; or if there is
   *     none, and something that was trained would be lost
   */
  Start find(RunIdentity run) throws IOException {
    if (asked.isEmpty()) {
      return new Start(false, Optional.empty());
    }
    Optional<Path> named = asked.get().checkpoint();
    Optional<EarlierResult> result = earlierResult();
    if (named.isEmpty() && isFinished(result, run)) {
      return new Start(true, Optional.empty());
    }
    List<String> damaged = new ArrayList<>();
    Optional<SavedCheckpoint> found =
        named.map(SavedCheckpoint::open).or(() -> newest(run.values(), damaged));
    if (found.isEmpty()) {
      requireNothingLost(result, run, damaged);
      out.println("resume_from_checkpoint: no checkpoint yet, the run begins at step 1");
      return new Start(false, found);
    }
    SavedCheckpoint saved = found.get();
    List<String> differences = saved.differences(run.values());
    if (!differences.isEmpty()) {
      requireChangesAllowed(saved.directory(), differences);
      requireNoneAfter(saved);
    }
    if (!OutputFolder.isIn(output, saved.directory())) {
      requireNothingLost(result, run, List.of());
    }
    differences.forEach(line -> out.println("resume_with_changes: " + line));
    out.println("going on from " + saved.directory());
    return new Start(false, found);
  }

  private boolean isFinished(Optional<EarlierResult> result, RunIdentity run) throws IOException {
    if (result.isEmpty() || result.get().difference(run.values()).isPresent()) {
      return false;
    }
    out.println(
        "already finished: "
            + output.resolve(result.get().weights())
            + " is this run's result, of step "
            + result.get().step().orElseThrow()
            + "; nothing is left to do");
    return true;
  }

  /**
   * Where a run begins at step 1 the directory is cleared of what an earlier one wrote: metrics and
   * the like of one that did not come to its first checkpoint, nothing else.
   */
  private void requireNothingLost(
      Optional<EarlierResult> result, RunIdentity run, List<String> damaged) throws IOException {
    if (recipe.output().overwriteOutputDir()) {
      return;
    }
    List<Integer> steps = CheckpointFolder.steps(output);
    if (!steps.isEmpty()) {
      List<String> problems = new ArrayList<>();
      damaged.forEach(line -> problems.add(output + ": " + line));
      String names =
          steps.stream().map(step -> "checkpoint-" + step).collect(Collectors.joining(", "));
      String why = damaged.isEmpty() ? ", which would be lost" : ", of which none is whole";
      problems.add(held(names + why));
      throw new InvalidInputException(problems);
    }
    if (result.isPresent()) {
      String why = result.get().difference(run.values()).orElse("which is this run's result");
      throw kept(result.get(), why);
    }
    Optional<String> other = OutputFolder.noRuns(output);
    if (other.isPresent()) {
      throw new InvalidInputException(held("'" + other.get() + "', which no run of a recipe left"));
    }
  }

  private InvalidInputException kept(EarlierResult result, String why) {
    return new InvalidInputException(
        held("'" + result.weights() + "', " + why + ", and no checkpoint to go on from"));
  }

  private String held(String what) {
    return "'output_dir' is '" + output + "', which holds " + what + WAYS_OUT;
  }

  /**
   * The newest of this very run; where there is none, the newest, for its differences.
   *
   * @param damaged told of those that are not whole
   */
  private Optional<SavedCheckpoint> newest(Map<String, String> identity, List<String> damaged) {
    List<String> lines = new ArrayList<>();
    Optional<SavedCheckpoint> own =
        CheckpointFolder.newest(output, lines::add, saved -> isOwn(saved, identity, lines));
    if (own.isPresent()) {
      lines.forEach(out::println);
      return own;
    }
    Optional<SavedCheckpoint> other = CheckpointFolder.newest(output, damaged::add);
    if (other.isPresent()) {
      damaged.forEach(out::println);
    }
    return other;
  }

  private boolean isOwn(SavedCheckpoint saved, Map<String, String> identity, List<String> lines) {
    if (recipe.output().resumeWithChanges()) {
      return true;
    }
    List<String> differences = saved.differences(identity);
    String name = saved.directory().getFileName().toString();
    for (String difference : differences) {
      lines.add(name + " is passed over, it is of another run: " + difference);
    }
    return differences.isEmpty();
  }

  private void requireChangesAllowed(Path checkpoint, List<String> differences) {
    if (recipe.output().resumeWithChanges()) {
      return;
    }
    List<String> problems = new ArrayList<>();
    differences.forEach(line -> problems.add(checkpoint + ": " + line));
    problems.add(
        checkpoint
            + " is of another run: choose another output_dir, or set resume_with_changes: true"
            + " to go on all the same");
    throw new InvalidInputException(problems);
  }

  /** What was trained before the changes would later pass for what was trained with them. */
  private void requireNoneAfter(SavedCheckpoint saved) {
    for (int step : CheckpointFolder.steps(output)) {
      if (step > saved.state().step()) {
        throw new InvalidInputException(
            output
                + ": has a checkpoint-"
                + step
                + " without these changes, which a later resume_from_checkpoint: auto would take:"
                + " move it away, or choose another output_dir");
      }
    }
  }
}
