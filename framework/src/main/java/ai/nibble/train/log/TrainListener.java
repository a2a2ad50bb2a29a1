package ai.nibble.train.log;

import java.nio.file.Path;

/**
 * Hears what happens in a training run. Methods are called on the training thread, one at a time,
 * and do nothing unless overridden; what they throw ends the run.
 */
public interface TrainListener {
  /** Everything is loaded and the first step is about to begin. */
  default void runStarted(RunInfo run) {}

  /** An optimizer step is done. */
  default void stepEnded(StepMetrics metrics) {}

  /** An evaluation is done. */
  default void evaluated(EvalMetrics metrics) {}

  /** Answers to held-out rows have been generated: before the first step, or after the last. */
  default void answered(AnswerMetrics metrics) {}

  /** Something out of the ordinary, after the step or evaluation that it is about. */
  default void noticed(RunNotice notice) {}

  /** A checkpoint or the final adapter is whole and under its own name. */
  default void saved(Path path) {}

  /** The run is over, whether it finished or not; called once if {@link #runStarted} was. */
  default void runEnded(RunEnd end) {}
}
