package ai.nibble.recipe;

import ai.nibble.InvalidInputException;
import ai.nibble.checkpoint.CheckpointFolder;
import ai.nibble.checkpoint.SavedCheckpoint;
import java.io.PrintStream;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** Which checkpoint a run goes on from, as {@code resume_from_checkpoint} says. */
final class ResumePoint {
  private final Recipe recipe;
  private final Map<String, String> identity;
  private final PrintStream out;

  /**
   * @param identity of the run that would go on
   * @param out told of what is passed over or changed
   */
  ResumePoint(Recipe recipe, Map<String, String> identity, PrintStream out) {
    this.recipe = recipe;
    this.identity = identity;
    this.out = out;
  }

  /**
   * The checkpoint; empty for a run from the beginning.
   *
   * @throws InvalidInputException if it is not whole, or of another run
   */
  Optional<SavedCheckpoint> find() {
    Optional<ResumeFrom> asked = recipe.output().resumeFromCheckpoint();
    if (asked.isEmpty()) {
      return Optional.empty();
    }
    Optional<SavedCheckpoint> found =
        asked.get().checkpoint().map(SavedCheckpoint::open).or(this::newest);
    if (found.isEmpty()) {
      out.println("resume_from_checkpoint: no checkpoint yet, the run begins at step 1");
      return found;
    }
    SavedCheckpoint saved = found.get();
    List<String> differences = saved.differences(identity);
    if (!differences.isEmpty()) {
      requireChangesAllowed(saved, differences);
      requireNoneAfter(saved);
    }
    differences.forEach(line -> out.println("resume_with_changes: " + line));
    out.println("going on from " + saved.directory());
    return found;
  }

  /** The newest of this very run; where there is none, the newest, for its differences. */
  private Optional<SavedCheckpoint> newest() {
    Path output = recipe.output().outputDir();
    List<String> lines = new ArrayList<>();
    Optional<SavedCheckpoint> own =
        CheckpointFolder.newest(output, lines::add, saved -> isOwn(saved, lines));
    if (own.isPresent()) {
      lines.forEach(out::println);
      return own;
    }
    return CheckpointFolder.newest(output, out::println);
  }

  private boolean isOwn(SavedCheckpoint saved, List<String> lines) {
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

  private void requireChangesAllowed(SavedCheckpoint saved, List<String> differences) {
    if (recipe.output().resumeWithChanges()) {
      return;
    }
    List<String> problems = new ArrayList<>();
    differences.forEach(line -> problems.add(saved.directory() + ": " + line));
    problems.add(
        saved.directory()
            + " is of another run: choose another output_dir, or set resume_with_changes: true"
            + " to go on all the same");
    throw new InvalidInputException(problems);
  }

  /** What was trained before the changes would later pass for what was trained with them. */
  private void requireNoneAfter(SavedCheckpoint saved) {
    Path output = recipe.output().outputDir();
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
