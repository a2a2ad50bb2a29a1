package ai.nibble.recipe;

import ai.nibble.InvalidInputException;
import ai.nibble.data.EpochPlan;
import ai.nibble.data.RowOrder;
import ai.nibble.data.TrainingRows;
import ai.nibble.model.Checkpointing;
import ai.nibble.optim.AdafactorConfig;
import ai.nibble.optim.AdamW8bitConfig;
import ai.nibble.optim.AdamWConfig;
import ai.nibble.optim.LionConfig;
import ai.nibble.optim.MuonConfig;
import ai.nibble.optim.OptimizerConfig;
import ai.nibble.optim.PagedConfig;
import ai.nibble.optim.Schedule;
import ai.nibble.optim.SgdConfig;
import ai.nibble.train.TrainSettings;
import java.math.BigDecimal;
import java.math.RoundingMode;
import java.util.Locale;
import java.util.Optional;

/** A recipe's settings as the trainer's, now that the rows' lengths are known. */
final class RunSettings {
  /** What transformers takes for {@code inverse_sqrt} without a warm-up. */
  private static final int DEFAULT_TIMESCALE = 10_000;

  private RunSettings() {}

  /**
   * The settings; where the recipe leaves checkpointing to the plan of memory, without.
   *
   * @param plan of the rows to train on
   * @throws InvalidInputException where the epochs make more steps than can be counted, or the best
   *     step could not be saved
   */
  static TrainSettings of(Recipe recipe, EpochPlan plan) {
    Training training = recipe.training();
    Optimization o = recipe.optimization();
    int stepsPerEpoch = steps(training, plan.units(0));
    int total = training.maxSteps().orElseGet(() -> stepsOfEpochs(recipe, plan));
    int evalSteps =
        interval(
            recipe.evaluation().evalSteps(), recipe.evaluation().evalsPerEpoch(), stepsPerEpoch);
    int saveSteps =
        interval(recipe.output().saveSteps(), recipe.output().savesPerEpoch(), stepsPerEpoch);
    requireSavesAtEvaluations(recipe, evalSteps, saveSteps);
    return new TrainSettings(
        training.microBatchSize(),
        training.gradientAccumulationSteps(),
        total,
        o.learningRate(),
        schedule(recipe, total),
        optimizer(o),
        recipe.adapter() == Recipe.Adapter.NONE ? 1 : recipe.lora().loraPlusLrRatio(),
        o.maxGradNorm(),
        training.gradientCheckpointing().mode().orElse(Checkpointing.NONE),
        evalSteps,
        recipe.evaluation().evalBatchSize(),
        saveSteps,
        recipe.output().saveTotalLimit().orElse(0),
        recipe.seed(),
        plan.order(),
        evalOrder(recipe),
        recipe.evaluation().endRules(),
        recipe.watchdog().settings(),
        recipe.training().neftuneNoiseAlpha());
  }

  /** A step can be the best only if it was evaluated and saved. */
  private static void requireSavesAtEvaluations(Recipe recipe, int evalSteps, int saveSteps) {
    if (recipe.evaluation().loadBestModelAtEnd() && saveSteps % evalSteps != 0) {
      throw new InvalidInputException(
          recipe.where("load_best_model_at_end")
              + ": 'load_best_model_at_end' needs an evaluation wherever a checkpoint is, but there"
              + " is one every "
              + evalSteps
              + " steps and a checkpoint every "
              + saveSteps
              + ": set eval_steps, and save_steps to a multiple of it");
    }
  }

  /** What the epochs of training draw. */
  static EpochPlan plan(Recipe recipe, TrainingRows rows) {
    return new EpochPlan(rows, order(recipe), recipe.seed());
  }

  /** How rows are drawn in evaluation. */
  static RowOrder evalOrder(Recipe recipe) {
    return recipe.training().evalSamplePacking() ? packs(recipe) : RowOrder.AS_GIVEN;
  }

  /** How rows are drawn in training. */
  private static RowOrder order(Recipe recipe) {
    Training training = recipe.training();
    if (training.samplePacking()) {
      return packs(recipe);
    }
    return training.groupByLength()
        ? new RowOrder.LengthGrouped(training.microBatchSize())
        : RowOrder.SHUFFLED;
  }

  private static RowOrder.Packed packs(Recipe recipe) {
    return new RowOrder.Packed(recipe.data().sequenceLen());
  }

  /** Every epoch's own steps: of packs it may have a few more or less than the one before. */
  private static int stepsOfEpochs(Recipe recipe, EpochPlan plan) {
    // as it is written: 1.1 epochs of 10 steps are 11, though the double is a little more than 1.1
    BigDecimal epochs = BigDecimal.valueOf(recipe.training().numEpochs());
    long whole = epochs.longValue();
    long steps = 0;
    for (long epoch = 0; epoch < whole && steps <= Integer.MAX_VALUE; epoch++) {
      steps += steps(recipe.training(), plan.units(epoch));
    }
    BigDecimal rest = epochs.subtract(BigDecimal.valueOf(whole));
    if (rest.signum() > 0 && steps <= Integer.MAX_VALUE) {
      int last = steps(recipe.training(), plan.units(whole));
      steps += rest.multiply(BigDecimal.valueOf(last)).setScale(0, RoundingMode.CEILING).intValue();
    }
    if (steps > Integer.MAX_VALUE) {
      throw new InvalidInputException(
          String.format(
              Locale.ROOT,
              "%s: 'num_epochs' is %s, which with %d rows makes more than %d optimizer steps: lower"
                  + " it, or set max_steps",
              recipe.where("num_epochs"),
              epochs.stripTrailingZeros().toPlainString(),
              plan.rows(),
              Integer.MAX_VALUE));
    }
    return (int) steps;
  }

  /** The last micro-batch of an epoch, and the last step, may be smaller than the others. */
  static int steps(Training training, int units) {
    int batches = (units - 1) / training.microBatchSize() + 1;
    return (batches - 1) / training.gradientAccumulationSteps() + 1;
  }

  /** The optimizer and its constants. */
  static OptimizerConfig optimizer(Optimization o) {
    AdamWConfig adamW =
        new AdamWConfig(o.adamBeta1(), o.adamBeta2(), o.adamEpsilon(), o.weightDecay());
    return switch (o.optimizer()) {
      case ADAMW -> adamW;
      case ADAMW_8BIT -> new AdamW8bitConfig(adamW);
      case PAGED_ADAMW_32BIT -> new PagedConfig(adamW);
      case PAGED_ADAMW_8BIT -> new PagedConfig(new AdamW8bitConfig(adamW));
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
      case WARMUP_STABLE_DECAY -> {
        int left = Math.max(0, total - warmup);
        int decay = more.numDecaySteps().orElse(Math.min((total - 1) / 10 + 1, left));
        // where the warm-up takes all steps the fall begins beyond the last one
        yield new Schedule.WarmupStableDecay(
            warmup, Math.max(total, warmup), decay, more.minLrRatio());
      }
    };
  }

  /** Steps between two events; 0: only at the end. */
  private static int interval(
      Optional<Integer> steps, Optional<Integer> perEpoch, int stepsPerEpoch) {
    return steps.orElseGet(() -> perEpoch.map(n -> Math.max(1, stepsPerEpoch / n)).orElse(0));
  }
}
