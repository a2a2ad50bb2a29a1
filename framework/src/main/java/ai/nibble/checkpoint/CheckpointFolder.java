package ai.nibble.checkpoint;

import ai.nibble.InvalidInputException;
import ai.nibble.WholeDirectory;
import ai.nibble.WholeFile;
import ai.nibble.model.Trainable;
import ai.nibble.optim.Optimizer;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.function.Consumer;
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

  /**
   * @param output the run's directory
   * @param baseModel what {@link Trainable#save} is told
   * @param limit checkpoints kept, the newest; 0: all
   */
  public CheckpointFolder(Path output, String baseModel, int limit) {
    this.output = output;
    this.baseModel = baseModel;
    this.limit = limit;
  }

  /**
   * Writes a checkpoint and removes the oldest beyond the limit.
   *
   * @return its directory
   * @throws UncheckedIOException if it could not be written whole; those before it are all there
   */
  public Path save(Trainable trained, Optimizer optimizer, TrainerState state) {
    Path target = output.resolve(PREFIX + state.step());
    Path temporary = output.resolve(UNFINISHED + state.step());
    Path replaced = output.resolve(REPLACED + state.step());
    try {
      WholeDirectory.delete(temporary);
      WholeDirectory.delete(replaced);
      try {
        trained.saveUnfinished(temporary, baseModel);
        StateTensors.write(temporary, trained.parameters(), optimizer.state());
        WholeFile.write(temporary.resolve(TrainerState.NAME), state.json());
        WholeFile.write(temporary.resolve(Manifest.NAME), Manifest.of(temporary));
        // a directory of that name is left by a run that was taken back to an earlier step
        if (Files.exists(target)) {
          WholeFile.move(target, replaced);
        }
        WholeFile.move(temporary, target);
      } finally {
        WholeDirectory.delete(temporary);
      }
      SavedCheckpoint.open(target);
      WholeDirectory.delete(replaced);
      rotate(state.step());
      return target;
    } catch (IOException | InvalidInputException e) {
      throw new UncheckedIOException(
          target + ": the checkpoint could not be written", new IOException(e.getMessage(), e));
    }
  }

  private void rotate(int newest) throws IOException {
    if (limit == 0) {
      return;
    }
    // a higher number is some other run's: never ours to judge by
    List<Path> ours = checkpoints(output).stream().filter(p -> step(p) <= newest).toList();
    for (int i = limit; i < ours.size(); i++) {
      WholeDirectory.delete(ours.get(i));
    }
  }

  /**
   * The newest whole checkpoint of a run.
   *
   * @param output the run's directory; need not exist
   * @param skipped told, one line each, of newer ones that are not whole and why
   */
  public static Optional<SavedCheckpoint> newest(Path output, Consumer<String> skipped) {
    try {
      for (Path directory : checkpoints(output)) {
        try {
          return Optional.of(SavedCheckpoint.open(directory));
        } catch (InvalidInputException e) {
          skipped.accept(directory.getFileName() + " is passed over: " + e.getMessage());
        }
      }
      return Optional.empty();
    } catch (IOException e) {
      throw new InvalidInputException(output + " cannot be listed: " + e, e);
    }
  }

  /** By step, the newest first. */
  private static List<Path> checkpoints(Path output) throws IOException {
    if (!Files.isDirectory(output)) {
      return List.of();
    }
    try (Stream<Path> entries = Files.list(output)) {
      return entries
          .filter(p -> p.getFileName().toString().matches(PREFIX + "\\d{1,9}"))
          .sorted(Comparator.comparingInt(CheckpointFolder::step).reversed())
          .toList();
    }
  }

  private static int step(Path checkpoint) {
    return Integer.parseInt(checkpoint.getFileName().toString().substring(PREFIX.length()));
  }
}
