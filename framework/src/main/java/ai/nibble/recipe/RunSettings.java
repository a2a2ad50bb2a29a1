package ai.nibble.recipe;

import ai.nibble.InvalidInputException;
import ai.nibble.optim.AdamWConfig;
import ai.nibble.optim.Schedule;
import ai.nibble.train.TrainSettings;
import java.util.Locale;
import java.util.Optional;

/** A recipe's settings as the trainer's, now that the number of rows is known. */
final class RunSettings {
  private RunSettings() {}

  /**
   * @param rows to train on
   * @throws InvalidInputException where the epochs make more steps than can be counted, or the best
   *     step could not be saved
   */
  static TrainSettings of(Recipe recipe, int rows) {
    Training training = recipe.training();
    Optimization o = recipe.optimization();
    int stepsPerEpoch = stepsPerEpoch(training, rows);
    int total = training.maxSteps().orElseGet(() -> stepsOfEpochs(recipe, rows, stepsPerEpoch));
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
        schedule(o, total),
        new AdamWConfig(o.adamBeta1(), o.adamBeta2(), o.adamEpsilon(), o.weightDecay()),
        o.maxGradNorm(),
        training.gradientCheckpointing(),
        evalSteps,
        recipe.evaluation().evalBatchSize(),
        saveSteps,
        recipe.output().saveTotalLimit().orElse(0),
        recipe.seed(),
        recipe.evaluation().endRules(),
        recipe.watchdog().settings());
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

  private static Schedule schedule(Optimization o, int total) {
    int warmup =
        o.warmupRatio() > 0 ? Schedule.warmupSteps(o.warmupRatio(), total) : o.warmupSteps();
    return switch (o.lrScheduler()) {
      case COSINE -> new Schedule.Cosine(warmup, total);
      case LINEAR -> new Schedule.Linear(warmup, total);
      case CONSTANT -> new Schedule.Constant(warmup);
    };
  }

  /** Steps between two events; 0: only at the end. */
  private static int interval(
      Optional<Integer> steps, Optional<Integer> perEpoch, int stepsPerEpoch) {
    return steps.orElseGet(() -> perEpoch.map(n -> Math.max(1, stepsPerEpoch / n)).orElse(0));
  }
}
