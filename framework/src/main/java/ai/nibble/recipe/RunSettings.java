package ai.nibble.recipe;

import ai.nibble.InvalidInputException;
import ai.nibble.optim.AdafactorConfig;
import ai.nibble.optim.AdamW8bitConfig;
import ai.nibble.optim.AdamWConfig;
import ai.nibble.optim.LionConfig;
import ai.nibble.optim.MuonConfig;
import ai.nibble.optim.OptimizerConfig;
import ai.nibble.optim.Schedule;
import ai.nibble.optim.SgdConfig;
import ai.nibble.train.TrainSettings;
import java.util.Locale;
import java.util.Optional;

/** A recipe's settings as the trainer's, now that the number of rows is known. */
final class RunSettings {
  /** What transformers takes for {@code inverse_sqrt} without a warm-up. */
  private static final int DEFAULT_TIMESCALE = 10_000;

  private RunSettings() {}

  /**
   * @param rows to train on
   * @throws InvalidInputException where the epochs make more steps than can be counted
   */
  static TrainSettings of(Recipe recipe, int rows) {
    Training training = recipe.training();
    Optimization o = recipe.optimization();
    int stepsPerEpoch = stepsPerEpoch(training, rows);
    int total = training.maxSteps().orElseGet(() -> stepsOfEpochs(recipe, rows, stepsPerEpoch));
    return new TrainSettings(
        training.microBatchSize(),
        training.gradientAccumulationSteps(),
        total,
        o.learningRate(),
        schedule(recipe, total),
        optimizer(o),
        recipe.adapter() == Recipe.Adapter.NONE ? 1 : recipe.lora().loraPlusLrRatio(),
        o.maxGradNorm(),
        training.gradientCheckpointing(),
        interval(
            recipe.evaluation().evalSteps(), recipe.evaluation().evalsPerEpoch(), stepsPerEpoch),
        recipe.evaluation().evalBatchSize(),
        interval(recipe.output().saveSteps(), recipe.output().savesPerEpoch(), stepsPerEpoch),
        recipe.output().saveTotalLimit().orElse(0),
        recipe.seed());
  }

  private static int stepsOfEpochs(Recipe recipe, int rows, int stepsPerEpoch) {
    double epochs = recipe.training().numEpochs();
    long steps = (long) Math.ceil(epochs * stepsPerEpoch);
    if (steps > Integer.MAX_VALUE) {
      throw new InvalidInputException(
          String.format(
              Locale.ROOT,
              "%s: 'num_epochs' is %.0f, which with %d rows makes %d optimizer steps, expected at"
                  + " most %d: lower it, or set max_steps",
              recipe.where("num_epochs"),
              epochs,
              rows,
              steps,
              Integer.MAX_VALUE));
    }
    return (int) steps;
  }

  /** The last micro-batch of an epoch, and the last step, may be smaller than the others. */
  private static int stepsPerEpoch(Training training, int rows) {
    int batches = (rows - 1) / training.microBatchSize() + 1;
    return (batches - 1) / training.gradientAccumulationSteps() + 1;
  }

  private static OptimizerConfig optimizer(Optimization o) {
    AdamWConfig adamW =
        new AdamWConfig(o.adamBeta1(), o.adamBeta2(), o.adamEpsilon(), o.weightDecay());
    return switch (o.optimizer()) {
      case ADAMW -> adamW;
      case ADAMW_8BIT -> new AdamW8bitConfig(adamW);
      case SGD -> new SgdConfig(o.momentum(), o.weightDecay());
      case LION -> new LionConfig(o.adamBeta1(), o.adamBeta2(), o.weightDecay());
      case ADAFACTOR -> new AdafactorConfig(o.weightDecay());
      case MUON -> new MuonConfig(o.momentum(), adamW);
    };
  }

  private static Schedule schedule(Recipe recipe, int total) {
    try {
      return schedule(recipe.optimization(), total);
    } catch (IllegalArgumentException e) {
      throw new InvalidInputException(
          recipe.where("lr_scheduler_kwargs") + ": " + e.getMessage(), e);
    }
  }

  private static Schedule schedule(Optimization o, int total) {
    int warmup =
        o.warmupRatio() > 0 ? Schedule.warmupSteps(o.warmupRatio(), total) : o.warmupSteps();
    SchedulerKwargs more = o.lrSchedulerKwargs().orElse(SchedulerKwargs.DEFAULT);
    return switch (o.lrScheduler()) {
      case COSINE -> new Schedule.Cosine(warmup, total);
      case LINEAR -> new Schedule.Linear(warmup, total);
      case CONSTANT -> new Schedule.Constant(warmup);
      case COSINE_WITH_RESTARTS -> new Schedule.CosineWithRestarts(warmup, total, more.numCycles());
      case POLYNOMIAL ->
          new Schedule.Polynomial(warmup, total, more.lrEnd() / o.learningRate(), more.power());
      case INVERSE_SQRT ->
          new Schedule.InverseSqrt(
              warmup, more.timescale().orElse(warmup > 0 ? warmup : DEFAULT_TIMESCALE));
      case WARMUP_STABLE_DECAY ->
          new Schedule.WarmupStableDecay(
              warmup, total, more.numDecaySteps().orElse((total - 1) / 10 + 1), more.minLrRatio());
    };
  }

  /** Steps between two events; 0: only at the end. */
  private static int interval(
      Optional<Integer> steps, Optional<Integer> perEpoch, int stepsPerEpoch) {
    return steps.orElseGet(() -> perEpoch.map(n -> Math.max(1, stepsPerEpoch / n)).orElse(0));
  }
}
