package ai.nibble.train.log;

import java.nio.file.Path;
import java.util.function.Consumer;

/**
 * A listener that the run does without once it fails, as one does that writes to a full disk: that
 * is told once, and training goes on.
 */
public final class OptionalListener implements TrainListener, AutoCloseable {
  private final String name;
  private final TrainListener listener;
  private final AutoCloseable file;
  private final Consumer<String> told;
  private boolean dropped;

  /**
   * @param name of what it writes, for the notice
   * @param file closed with this
   * @param told of its failure, in one line
   */
  public OptionalListener(
      String name, TrainListener listener, AutoCloseable file, Consumer<String> told) {
    this.name = name;
    this.listener = listener;
    this.file = file;
    this.told = told;
  }

  private void spare(Consumer<TrainListener> event) {
    if (dropped) {
      return;
    }
    try {
      event.accept(listener);
    } catch (RuntimeException e) {
      drop(e);
    }
  }

  private void drop(Exception e) {
    if (!dropped) {
      dropped = true;
      String why = e.getMessage() == null ? e.toString() : e.getMessage();
      told.accept("warning: " + name + " is not written any further, training goes on: " + why);
    }
  }

  @Override
  public void runStarted(RunInfo run) {
    spare(l -> l.runStarted(run));
  }

  @Override
  public void stepStarted(int step) {
    spare(l -> l.stepStarted(step));
  }

  @Override
  public void stepEnded(StepMetrics metrics) {
    spare(l -> l.stepEnded(metrics));
  }

  @Override
  public void evaluationStarted(int step) {
    spare(l -> l.evaluationStarted(step));
  }

  @Override
  public void evaluated(EvalMetrics metrics) {
    spare(l -> l.evaluated(metrics));
  }

  @Override
  public void updatesMeasured(UpdateNorms norms) {
    spare(l -> l.updatesMeasured(norms));
  }

  @Override
  public void answered(AnswerMetrics metrics) {
    spare(l -> l.answered(metrics));
  }

  @Override
  public void answersShown(AnswerSamples samples) {
    spare(l -> l.answersShown(samples));
  }

  @Override
  public void saveStarted(int step) {
    spare(l -> l.saveStarted(step));
  }

  @Override
  public void restored(int step, long tokens) {
    spare(l -> l.restored(step, tokens));
  }

  @Override
  public void noticed(RunNotice notice) {
    spare(l -> l.noticed(notice));
  }

  @Override
  public void saved(Path path) {
    spare(l -> l.saved(path));
  }

  @Override
  public void runEnded(RunEnd end) {
    spare(l -> l.runEnded(end));
  }

  /** Closes the file; that this fails is told, too, and ends nothing. */
  @Override
  public void close() {
    try {
      file.close();
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    } catch (Exception e) {
      drop(e);
    }
  }
}
