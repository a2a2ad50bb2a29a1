package ai.nibble.train.log;

import java.nio.file.Path;

/**
 * Hears what happens in a training run. Methods are called on the training thread, one at a time,
 * and do nothing unless overridden; what they throw ends the run.
 *
 * <p>In order: {@link #answered} and {@link #answersShown} of the answers before training, {@link
 * #runStarted}; for each step {@link #stepStarted}, {@link #stepEnded}, and where they are due
 * {@link #evaluationStarted}, {@link #evaluated}, {@link #saveStarted}, {@link #saved}; {@link
 * #runEnded}, then the answers after training. What has started and fails has no end.
 */
public interface TrainListener {
  /** Everything is loaded and the first step is about to begin. */
  default void runStarted(RunInfo run) {}

  /**
   * An optimizer step is about to begin.
   *
   * @param step its number, from 1
   */
  default void stepStarted(int step) {}

  /** An optimizer step is done. */
  default void stepEnded(StepMetrics metrics) {}

  /**
   * An evaluation is about to begin.
   *
   * @param step optimizer steps done
   */
  default void evaluationStarted(int step) {}

  /** An evaluation is done. */
  default void evaluated(EvalMetrics metrics) {}

  /**
   * The adapters' updates were measured: at every step that is evaluated or saved, once. Not called
   * where all weights are trained.
   */
  default void updatesMeasured(UpdateNorms norms) {}

  /** Answers to held-out rows have been generated: before the first step, or after the last. */
  default void answered(AnswerMetrics metrics) {}

  /** The first of the answers just counted, in full. */
  default void answersShown(AnswerSamples samples) {}

  /**
   * A checkpoint, or what was trained, is about to be written.
   *
   * @param step optimizer steps done
   */
  default void saveStarted(int step) {}

  /**
   * The weights of an earlier step have been taken, as it is the best.
   *
   * @param step optimizer steps done by then
   * @param tokens trained on by then
   */
  default void restored(int step, long tokens) {}

  /** Something out of the ordinary, after the step or evaluation that it is about. */
  default void noticed(RunNotice notice) {}

  /** A checkpoint or the final adapter is whole and under its own name. */
  default void saved(Path path) {}

  /** The run is over, whether it finished or not; called once if {@link #runStarted} was. */
  default void runEnded(RunEnd end) {}
}
