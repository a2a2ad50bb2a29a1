package ai.nibble.train;

import ai.nibble.data.RowOrder;
import ai.nibble.model.Checkpointing;
import ai.nibble.optim.OptimizerConfig;
import ai.nibble.optim.Schedule;

/**
 * How a run proceeds.
 *
 * @param microBatchSize units of {@code order} (rows, or packs of rows) computed at once
 * @param gradientAccumulationSteps micro-batches an optimizer step
 * @param totalSteps optimizer steps of the run
 * @param learningRate the highest learning rate
 * @param schedule its course
 * @param optimizer turns gradients into steps
 * @param loraPlusLrRatio factor of the learning rate of LoRA's B (Hayou et al. 2024, "LoRA+"); 1:
 *     that of A
 * @param maxGradNorm gradients of a larger global norm are scaled down to it; 0: never
 * @param checkpointing what is computed again in backward instead of kept
 * @param evalSteps steps between evaluations; 0: only at the end
 * @param evalBatchSize units of {@code evalOrder} computed at once
 * @param saveSteps steps between checkpoints; 0: only at the end
 * @param saveTotalLimit checkpoints kept; 0: all
 * @param seed of shuffling and dropout
 * @param order of the rows of an epoch, and how many make a unit
 * @param evalOrder the same in evaluation
 * @param end when it ends before its last step, and which step is the result
 * @param watchdog what it takes for a loss that something is wrong with
 * @param neftuneNoiseAlpha noise on the embeddings in training (Jain et al. 2023); 0: none
 */
public record TrainSettings(
    int microBatchSize,
    int gradientAccumulationSteps,
    int totalSteps,
    double learningRate,
    Schedule schedule,
    OptimizerConfig optimizer,
    double loraPlusLrRatio,
    double maxGradNorm,
    Checkpointing checkpointing,
    int evalSteps,
    int evalBatchSize,
    int saveSteps,
    int saveTotalLimit,
    long seed,
    RowOrder order,
    RowOrder evalOrder,
    EndRules end,
    WatchdogSettings watchdog,
    double neftuneNoiseAlpha) {
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
    if (!(learningRate > 0)
        || !(maxGradNorm >= 0)
        || !(loraPlusLrRatio > 0)
        || !(neftuneNoiseAlpha >= 0)) {
      throw new IllegalArgumentException(
          "learning rate "
              + learningRate
              + ", maximal gradient norm "
              + maxGradNorm
              + ", ratio of B's learning rate "
              + loraPlusLrRatio
              + ", noise on embeddings "
              + neftuneNoiseAlpha);
    }
  }

  /**
   * Rows one by one, in training shuffled, in evaluation as they are given; one rate for all; to
   * the last step, unless the loss is not finite.
   */
  public TrainSettings(
      int microBatchSize,
      int gradientAccumulationSteps,
      int totalSteps,
      double learningRate,
      Schedule schedule,
      OptimizerConfig optimizer,
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
        optimizer,
        1,
        maxGradNorm,
        checkpointing,
        evalSteps,
        evalBatchSize,
        saveSteps,
        saveTotalLimit,
        seed,
        RowOrder.SHUFFLED,
        RowOrder.AS_GIVEN,
        EndRules.PLAIN,
        WatchdogSettings.PLAIN,
        0);
  }

  /** The same with rows in another order, or packed. */
  public TrainSettings withOrder(RowOrder newOrder, RowOrder newEvalOrder) {
    return copy(checkpointing, newOrder, newEvalOrder, end, watchdog, neftuneNoiseAlpha);
  }

  /** The same with another way of checkpointing: it changes no bit of what is trained. */
  public TrainSettings with(Checkpointing other) {
    return copy(other, order, evalOrder, end, watchdog, neftuneNoiseAlpha);
  }

  /** The same with other rules. */
  public TrainSettings with(EndRules otherEnd, WatchdogSettings otherWatchdog) {
    return copy(checkpointing, order, evalOrder, otherEnd, otherWatchdog, neftuneNoiseAlpha);
  }

  /** The same with noise on the embeddings. */
  public TrainSettings withNeftune(double alpha) {
    return copy(checkpointing, order, evalOrder, end, watchdog, alpha);
  }

  private TrainSettings copy(
      Checkpointing newCheckpointing,
      RowOrder newOrder,
      RowOrder newEvalOrder,
      EndRules newEnd,
      WatchdogSettings newWatchdog,
      double newNoise) {
    return new TrainSettings(
        microBatchSize,
        gradientAccumulationSteps,
        totalSteps,
        learningRate,
        schedule,
        optimizer,
        loraPlusLrRatio,
        maxGradNorm,
        newCheckpointing,
        evalSteps,
        evalBatchSize,
        saveSteps,
        saveTotalLimit,
        seed,
        newOrder,
        newEvalOrder,
        newEnd,
        newWatchdog,
        newNoise);
  }
}
