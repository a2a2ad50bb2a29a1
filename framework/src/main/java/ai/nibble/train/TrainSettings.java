package ai.nibble.train;

import ai.nibble.model.Checkpointing;
import ai.nibble.optim.AdamWConfig;
import ai.nibble.optim.Schedule;

/**
 * How a run proceeds.
 *
 * @param microBatchSize rows computed at once
 * @param gradientAccumulationSteps micro-batches an optimizer step
 * @param totalSteps optimizer steps of the run
 * @param learningRate the highest learning rate
 * @param schedule its course
 * @param maxGradNorm gradients of a larger global norm are scaled down to it; 0: never
 * @param checkpointing what is computed again in backward instead of kept
 * @param evalSteps steps between evaluations; 0: only at the end
 * @param evalBatchSize rows of an evaluation computed at once
 * @param saveSteps steps between checkpoints; 0: only at the end
 * @param saveTotalLimit checkpoints kept; 0: all
 * @param seed of shuffling and dropout
 * @param end when it ends before its last step, and which step is the result
 * @param watchdog what it takes for a loss that something is wrong with
 */
public record TrainSettings(
    int microBatchSize,
    int gradientAccumulationSteps,
    int totalSteps,
    double learningRate,
    Schedule schedule,
    AdamWConfig adamW,
    double maxGradNorm,
    Checkpointing checkpointing,
    int evalSteps,
    int evalBatchSize,
    int saveSteps,
    int saveTotalLimit,
    long seed,
    EndRules end,
    WatchdogSettings watchdog) {
  public TrainSettings {
    if (microBatchSize < 1
        || gradientAccumulationSteps < 1
        || totalSteps < 1
        || evalBatchSize < 1
        || evalSteps < 0
        || saveSteps < 0
        || saveTotalLimit < 0) {
      throw new IllegalArgumentException(
          "batch sizes and steps must be at least 1, intervals at least 0");
    }
    if (!(learningRate > 0) || !(maxGradNorm >= 0)) {
      throw new IllegalArgumentException(
          "learning rate " + learningRate + ", maximal gradient norm " + maxGradNorm);
    }
  }

  /** A run to its last step, which stops where the loss is not finite. */
  public TrainSettings(
      int microBatchSize,
      int gradientAccumulationSteps,
      int totalSteps,
      double learningRate,
      Schedule schedule,
      AdamWConfig adamW,
      double maxGradNorm,
      Checkpointing checkpointing,
      int evalSteps,
      int evalBatchSize,
      int saveSteps,
      int saveTotalLimit,
      long seed) {
    this(
        microBatchSize,
        gradientAccumulationSteps,
        totalSteps,
        learningRate,
        schedule,
        adamW,
        maxGradNorm,
        checkpointing,
        evalSteps,
        evalBatchSize,
        saveSteps,
        saveTotalLimit,
        seed,
        EndRules.PLAIN,
        WatchdogSettings.PLAIN);
  }

  /** These settings with other rules. */
  public TrainSettings with(EndRules otherEnd, WatchdogSettings otherWatchdog) {
    return new TrainSettings(
        microBatchSize,
        gradientAccumulationSteps,
        totalSteps,
        learningRate,
        schedule,
        adamW,
        maxGradNorm,
        checkpointing,
        evalSteps,
        evalBatchSize,
        saveSteps,
        saveTotalLimit,
        seed,
        otherEnd,
        otherWatchdog);
  }
}
