package ai.nibble.recipe;

import ai.nibble.FileProblem;
import ai.nibble.InvalidInputException;
import ai.nibble.train.TrainingStoppedException;
import ai.nibble.train.log.RunNotice;
import ai.nibble.train.log.TrainListener;
import java.io.IOException;

/**
 * Where {@code output_dir} was moved away in the middle of a run and is made anew, makes it the
 * run's own again: locked, and with the recipe, without which its checkpoints are nobody's.
 */
final class MovedOutput implements TrainListener {
  private final OutputLock lock;
  private final Beginning beginning;

  /** Writes what a run's directory begins with. */
  interface Beginning {
    void write() throws IOException;
  }

  MovedOutput(OutputLock lock, Beginning beginning) {
    this.lock = lock;
    this.beginning = beginning;
  }

  @Override
  public void noticed(RunNotice notice) {
    if (notice.kind() == RunNotice.Kind.OUTPUT) {
      try {
        lock.takeAnew();
        beginning.write();
      } catch (IOException e) {
        throw new TrainingStoppedException(
            "step " + notice.step() + ": " + FileProblem.reason(e), e);
      } catch (InvalidInputException e) {
        throw new TrainingStoppedException("step " + notice.step() + ": " + e.getMessage(), e);
      }
    }
  }
}
