package ai.nibble.checkpoint;

import ai.nibble.FileProblem;
import ai.nibble.InvalidInputException;
import ai.nibble.WholeDirectory;
import ai.nibble.WholeFile;
import ai.nibble.model.Trainable;
import ai.nibble.optim.Optimizer;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.Consumer;
import java.util.function.Predicate;
import java.util.stream.Stream;

/**
 * The checkpoints of a run, {@code checkpoint-N} in its output directory.
 *
 * <p>Each is written under another name, file by file, every one synced, {@link Manifest} last;
 * then renamed and read back. Only when it is whole are older ones removed. So at every moment, a
 * power cut included, the newest whole checkpoint is there.
 */
public final class CheckpointFolder {
  private static final String PREFIX = "checkpoint-";
  private static final String UNFINISHED = ".tmp-" + PREFIX;
  private static final String REPLACED = ".old-" + PREFIX;

  private final Path output;
  private final String baseModel;
  private final int limit;
  private final OwnDirectory own;
  private final Set<Path> whole = new HashSet<>();

  /**
   * @param output the run's directory
   * @param baseModel what {@link Trainable#save} is told
   * @param limit checkpoints kept, the newest; 0: all
   */
  public CheckpointFolder(Path output, String baseModel, int limit) {
    this.output = output;
    this.own = new OwnDirectory(output);
    this.baseModel = baseModel;
    this.limit = limit;
  }

  /**
   * Makes the directory if it is missing, and remembers which one it is: another that takes its
   * name later is somebody else's.
   *
   * @return whether it was gone since it was claimed before, and is made anew
   * @throws UncheckedIOException if it cannot be made, or is another directory by now
   */
  public boolean claim() {
    try {
      return own.claim();
    } catch (IOException e) {
      throw new UncheckedIOException(output + ": " + why(e), e);
    }
  }

  /** Whether the directory is still the one that was claimed. */
  public boolean isOwn() {
    return own.isThere();
  }

  /** Saves as the other {@code save} does, with no best step. */
  public Path save(Trainable trained, Optimizer optimizer, TrainerState state) {
    return save(trained, optimizer, state, 0);
  }

  /**
   * Writes a checkpoint and removes the run's oldest beyond the limit.
   *
   * @param best a step whose checkpoint is kept beyond the limit, too; 0: none
   * @return its directory
   * @throws UncheckedIOException if it could not be written whole; those before it are all there
   */
  public Path save(Trainable trained, Optimizer optimizer, TrainerState state, int best) {
    Path target = output.resolve(PREFIX + state.step());
    Path temporary = output.resolve(UNFINISHED + state.step());
    try {
      sweep();
      try {
        trained.saveUnfinished(temporary, baseModel);
        StateTensors.write(temporary, trained.parameters(), optimizer.state());
        WholeFile.write(temporary.resolve(TrainerState.NAME), state.json());
        WholeFile.write(temporary.resolve(Manifest.NAME), Manifest.of(temporary));
        // a directory of that name is left by a run that was taken back to an earlier step
        if (Files.exists(target)) {
          setAside(target);
        }
        WholeFile.move(temporary, target);
      } finally {
        WholeDirectory.delete(temporary);
      }
      SavedCheckpoint.open(target);
      whole.add(target);
      rotate(state, best);
      sweep();
      return target;
    } catch (IOException | UncheckedIOException | InvalidInputException e) {
      throw new UncheckedIOException(
          target + ": the checkpoint could not be written: " + why(e),
          new IOException(e.getMessage(), e));
    }
  }

  /**
   * Removes what need not be kept: what was set aside, and checkpoints beyond the limit that could
   * not be removed before.
   *
   * @param newest of the run
   * @param best a step whose checkpoint is kept beyond the limit, too; 0: none
   * @throws UncheckedIOException if that fails
   */
  public void makeRoom(TrainerState newest, int best) {
    try {
      rotate(newest, best);
      sweep();
    } catch (IOException e) {
      throw new UncheckedIOException(output + ": " + why(e), e);
    }
  }

  /** What a person can make of a failure: the system's words for it, or which file is gone. */
  private static String why(Exception e) {
    if (e instanceof UncheckedIOException unchecked) {
      return unchecked.getMessage();
    }
    if (e instanceof FileSystemException file && file.getReason() == null) {
      return file.getFile() + ": " + FileProblem.reason(file);
    }
    return e instanceof IOException io ? FileProblem.reason(io) : e.getMessage();
  }

  /**
   * Removes the run's checkpoints beyond the limit; what another run wrote, or is damaged, is not
   * ours to judge and takes no place.
   */
  private void rotate(TrainerState newest, int best) throws IOException {
    if (limit == 0) {
      return;
    }
    int kept = 0;
    for (Path each : checkpoints(output)) {
      if (step(each) <= newest.step() && isWholeOf(newest.runId(), each)) {
        kept++;
        if (kept > limit && step(each) != best) {
          setAside(each);
        }
      }
    }
  }

  /** Those of before this process are read whole, once: a damaged one keeps no other's place. */
  private boolean isWholeOf(String runId, Path checkpoint) {
    try {
      if (!TrainerState.read(checkpoint).runId().equals(runId)) {
        return false;
      }
      if (!whole.contains(checkpoint)) {
        SavedCheckpoint.open(checkpoint);
        whole.add(checkpoint);
      }
      return true;
    } catch (IOException | InvalidInputException e) {
      return false; // nobody can go on from it, and whose it is cannot always be told
    }
  }

  /** Renames it, so that deleting it leaves no half of a checkpoint wherever it is interrupted. */
  private void setAside(Path checkpoint) throws IOException {
    WholeFile.move(checkpoint, output.resolve(REPLACED + step(checkpoint)));
  }

  /** Clears away what was set aside, here or by a run that was killed. */
  private void sweep() throws IOException {
    if (!Files.isDirectory(output)) {
      return;
    }
    List<Path> left;
    try (Stream<Path> entries = Files.list(output)) {
      left = entries.filter(p -> name(p).matches("\\.(tmp|old)-checkpoint-\\d+")).toList();
    }
    for (Path each : left) {
      WholeDirectory.delete(each);
    }
  }

  /**
   * The newest whole checkpoint of a run.
   *
   * @param output the run's directory; need not exist
   * @param skipped told, one line each, of newer ones that are not whole and why
   */
  public static Optional<SavedCheckpoint> newest(Path output, Consumer<String> skipped) {
    return newest(output, skipped, saved -> true);
  }

  /**
   * The newest whole checkpoint that fits.
   *
   * @param skipped told, one line each, of newer ones that are not whole and why
   * @param fits whether one is of the run that is meant; it may tell of those that are not
   */
  public static Optional<SavedCheckpoint> newest(
      Path output, Consumer<String> skipped, Predicate<SavedCheckpoint> fits) {
    try {
      for (Path directory : checkpoints(output)) {
        try {
          SavedCheckpoint saved = SavedCheckpoint.open(directory);
          if (fits.test(saved)) {
            return Optional.of(saved);
          }
        } catch (InvalidInputException e) {
          skipped.accept(name(directory) + " is passed over: " + e.getMessage());
        }
      }
      return Optional.empty();
    } catch (IOException e) {
      throw new InvalidInputException(output + " cannot be listed: " + FileProblem.reason(e), e);
    }
  }

  /**
   * The checkpoint of one step of a run.
   *
   * @throws InvalidInputException if it is not there, not whole, or another run's
   */
  public static SavedCheckpoint ofStep(Path output, int step, String runId) {
    SavedCheckpoint saved = SavedCheckpoint.open(output.resolve(PREFIX + step));
    if (!saved.state().runId().equals(runId)) {
      throw new InvalidInputException(saved.directory() + " is another run's");
    }
    return saved;
  }

  /** The numbers of the checkpoints in a directory, whole or not, the highest first. */
  public static List<Integer> steps(Path output) {
    try {
      return checkpoints(output).stream().map(CheckpointFolder::step).toList();
    } catch (IOException e) {
      throw new InvalidInputException(output + " cannot be listed: " + FileProblem.reason(e), e);
    }
  }

  /**
   * What the checkpoints say of themselves, the newest first; those that cannot be read are left
   * out, and whether their other files are whole is not looked at.
   */
  public static Map<Path, TrainerState> states(Path output) {
    Map<Path, TrainerState> states = new LinkedHashMap<>();
    try {
      for (Path each : checkpoints(output)) {
        try {
          states.put(each, TrainerState.read(each));
        } catch (IOException | InvalidInputException e) {
          // newest() says what is wrong with it
        }
      }
    } catch (IOException e) {
      throw new InvalidInputException(output + " cannot be listed: " + FileProblem.reason(e), e);
    }
    return states;
  }

  /** By step, the newest first. */
  private static List<Path> checkpoints(Path output) throws IOException {
    if (!Files.isDirectory(output)) {
      return List.of();
    }
    try (Stream<Path> entries = Files.list(output)) {
      return entries
          .filter(p -> name(p).matches(PREFIX + "\\d{1,9}"))
          .sorted(Comparator.comparingInt(CheckpointFolder::step).reversed())
          .toList();
    }
  }

  private static String name(Path path) {
    return path.getFileName().toString();
  }

  private static int step(Path checkpoint) {
    return Integer.parseInt(name(checkpoint).substring(PREFIX.length()));
  }
}
