package ai.nibble.checkpoint;

import ai.nibble.FileProblem;
import ai.nibble.InvalidInputException;
import ai.nibble.nn.ParameterSet;
import ai.nibble.optim.Optimizer;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;

/**
 * A checkpoint whose files are all there and as they were written.
 *
 * @param directory {@code checkpoint-N}
 * @param state where the run was
 */
public record SavedCheckpoint(Path directory, TrainerState state) {
  /**
   * Opens a checkpoint.
   *
   * @throws InvalidInputException if a file is missing, damaged or not this version's
   */
  public static SavedCheckpoint open(Path directory) {
    try {
      Manifest.verify(directory);
      return new SavedCheckpoint(directory, TrainerState.read(directory));
    } catch (IOException e) {
      throw new InvalidInputException(directory + " cannot be read: " + FileProblem.reason(e), e);
    }
  }

  /**
   * What differs between the run that wrote this and one that would go on from it, one line each;
   * empty if nothing does.
   *
   * @param identity of the run that would go on
   */
  public List<String> differences(Map<String, String> identity) {
    return differences(state.identity(), identity);
  }

  /**
   * What differs between two runs, one line each.
   *
   * @param then what identifies the earlier
   * @param now what identifies the later
   */
  public static List<String> differences(Map<String, String> then, Map<String, String> now) {
    TreeSet<String> names = new TreeSet<>(now.keySet());
    names.addAll(then.keySet());
    List<String> lines = new ArrayList<>();
    for (String name : names) {
      String before = then.getOrDefault(name, "nothing");
      String after = now.getOrDefault(name, "nothing");
      if (!before.equals(after)) {
        lines.add("'" + name + "' was " + before + ", is " + after);
      }
    }
    return lines;
  }

  /**
   * Copies the trained values and the optimizer's memory back.
   *
   * @throws InvalidInputException if they are not of this run's parameters; nothing has changed
   *     then
   */
  public void restore(ParameterSet parameters, Optimizer optimizer) {
    reading(() -> StateTensors.read(directory, parameters, optimizer));
  }

  /**
   * Copies the trained values alone back.
   *
   * @throws InvalidInputException if they are not of this run's parameters; nothing has changed
   *     then
   */
  public void restoreValues(ParameterSet parameters) {
    reading(() -> StateTensors.readValues(directory, parameters));
  }

  private void reading(Runnable body) {
    try {
      body.run();
    } catch (UncheckedIOException e) {
      throw new InvalidInputException(directory + " cannot be read: " + FileProblem.reason(e), e);
    }
  }
}
