package ai.nibble.train;

import ai.nibble.FileProblem;
import ai.nibble.checkpoint.CheckpointFolder;
import ai.nibble.checkpoint.SavedCheckpoint;
import ai.nibble.checkpoint.TrainerState;
import ai.nibble.model.Trainable;
import ai.nibble.optim.Optimizer;
import ai.nibble.train.log.RunNotice;
import ai.nibble.train.log.RunNotice.Kind;
import ai.nibble.train.log.TrainListener;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.function.Predicate;

/** What a run writes of its weights: checkpoints on the way, and the result. */
final class RunFolder {
  private final RunPlace run;
  private final Trainable trained;
  private final Optimizer optimizer;
  private final List<TrainListener> listeners;
  private final CheckpointFolder checkpoints;
  private final Optional<Saved> from;
  private Optional<Path> last;
  private Optional<TrainerState> newest = Optional.empty();
  private int best;

  /** A checkpoint, and the steps done in it. */
  record Saved(Path path, int step) {}

  /**
   * @param limit checkpoints kept; 0: all
   * @param from the checkpoint that is gone on from, if any
   */
  RunFolder(
      RunPlace run,
      Trainable trained,
      Optimizer optimizer,
      List<TrainListener> listeners,
      int limit,
      Optional<Saved> from) {
    this.run = run;
    this.trained = trained;
    this.optimizer = optimizer;
    this.listeners = listeners;
    this.checkpoints = new CheckpointFolder(run.output(), run.baseModel(), limit);
    this.from = from;
    this.last = from.map(Saved::path);
  }

  /**
   * Makes the directory the run's own, before the first step.
   *
   * @throws TrainingStoppedException if it cannot be made
   */
  void begin(int step) {
    try {
      claim(step);
    } catch (UncheckedIOException e) {
      throw new TrainingStoppedException("step " + step + ": " + e.getMessage(), e);
    }
  }

  /**
   * Makes sure of the directory: nothing is written to it before.
   *
   * @param step of the run, for the notice that it had to be made anew
   * @throws UncheckedIOException if it is another one by now, or cannot be made
   */
  private void claim(int step) {
    if (checkpoints.claim()) {
      last = Optional.empty();
      String text = run.output() + " was moved or removed: it is made anew";
      listeners.forEach(l -> l.noticed(new RunNotice(step, Kind.OUTPUT, text)));
    }
  }

  /**
   * Writes a checkpoint.
   *
   * @param best a step whose checkpoint is kept whatever the limit; 0: none
   * @throws TrainingStoppedException if it cannot be written: what is left is named, and where the
   *     weights are, that hours of training may be in
   */
  void save(TrainerState state, int best) {
    listeners.forEach(l -> l.saveStarted(state.step()));
    try {
      claim(state.step());
      last = Optional.of(checkpoints.save(trained, optimizer, state, best));
      newest = Optional.of(state);
      this.best = best;
    } catch (UncheckedIOException e) {
      throw new TrainingStoppedException(
          e.getMessage() + "; " + savedElsewhere() + "; " + kept(), e);
    }
    listeners.forEach(l -> l.saved(last.orElseThrow()));
  }

  /** Which checkpoint is left. */
  String kept() {
    return last.map(path -> "resume_from_checkpoint goes on from " + path)
        .orElse("no checkpoint was due before it");
  }

  /**
   * Which checkpoint is left of before a step: one of the step or after it has the step's weights.
   */
  String keptBefore(int step, String runId) {
    Predicate<SavedCheckpoint> before =
        saved -> saved.state().step() < step && saved.state().runId().equals(runId);
    return CheckpointFolder.newest(run.output(), line -> {}, before)
        .map(SavedCheckpoint::directory)
        .or(() -> from.filter(saved -> saved.step() < step).map(Saved::path))
        .map(path -> "resume_from_checkpoint: " + path + " goes on from before them")
        .orElse("no checkpoint from before them is left");
  }

  /**
   * Takes the weights of an earlier step.
   *
   * @return where the run was then
   * @throws ai.nibble.InvalidInputException if its checkpoint is not there, not whole, or another
   *     run's
   */
  TrainerState restore(int step, String runId) {
    SavedCheckpoint saved = CheckpointFolder.ofStep(run.output(), step, runId);
    saved.restoreValues(trained.parameters());
    return saved.state();
  }

  /** Writes the weights as they are, as others read them. */
  private Path saveWeights(int step) {
    try {
      claim(step);
      trained.save(run.output(), run.baseModel());
      return run.output();
    } catch (IOException e) {
      throw unwritten(e);
    } catch (UncheckedIOException e) {
      throw unwritten(e.getCause());
    }
  }

  private UncheckedIOException unwritten(IOException e) {
    return new UncheckedIOException(
        run.output() + ": what was trained could not be written: " + FileProblem.reason(e), e);
  }

  /**
   * Writes the result.
   *
   * @throws TrainingStoppedException if it could not be written there: where it is instead
   */
  void finish(int step) {
    listeners.forEach(l -> l.saveStarted(step));
    Path result = keepWeights(step);
    listeners.forEach(l -> l.saved(result));
  }

  /**
   * Writes the weights as they are. Where the disk is full, checkpoints that need not be kept make
   * room for them; where that does not help, or the directory is another's by now, they go where
   * temporary files do: hours of training are in them.
   *
   * @return where they are
   * @throws TrainingStoppedException if they could not be written there: where they are instead
   */
  Path keepWeights(int step) {
    try {
      return saveWeights(step);
    } catch (UncheckedIOException full) {
      makeRoom();
    }
    try {
      return saveWeights(step);
    } catch (UncheckedIOException e) {
      throw new TrainingStoppedException(
          e.getMessage() + "; " + savedElsewhere() + "; " + kept(), e);
    }
  }

  private void makeRoom() {
    try {
      if (checkpoints.isOwn()) {
        newest.ifPresent(state -> checkpoints.makeRoom(state, best));
      }
    } catch (UncheckedIOException e) {
      // writing again will tell
    }
  }

  /** Where the weights are instead, or why they are nowhere. */
  private String savedElsewhere() {
    Path other = Path.of(System.getProperty("java.io.tmpdir"));
    try {
      other = Files.createTempDirectory(other, "nibble-result-");
      trained.save(other, run.baseModel());
      return "what was trained is in " + other + " instead: move it away from there";
    } catch (IOException e) {
      return nowhere(other, e);
    } catch (UncheckedIOException e) {
      return nowhere(other, e.getCause());
    }
  }

  private static String nowhere(Path other, IOException e) {
    return "nor could what was trained be written to " + other + ": " + FileProblem.reason(e);
  }
}
