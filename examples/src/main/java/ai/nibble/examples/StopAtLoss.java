package ai.nibble.examples;

import ai.nibble.recipe.Recipe;
import ai.nibble.recipe.RecipeRun;
import ai.nibble.train.TrainingInterruptedException;
import ai.nibble.train.log.EvalMetrics;
import ai.nibble.train.log.TrainListener;
import java.util.ArrayList;
import java.util.List;

/** A listener of one's own: it keeps what it hears, and the run ends when that is good enough. */
public final class StopAtLoss implements TrainListener {
  private final double goodEnough;
  private final List<EvalMetrics> evaluations = new ArrayList<>();

  /**
   * @param goodEnough the evaluation loss at which to end
   */
  public StopAtLoss(double goodEnough) {
    this.goodEnough = goodEnough;
  }

  @Override
  public void evaluated(EvalMetrics metrics) {
    evaluations.add(metrics);
  }

  private boolean isReached() {
    return evaluations.stream().anyMatch(metrics -> metrics.evalLoss() <= goodEnough);
  }

  /**
   * Trains until then, or to the recipe's end.
   *
   * @param recipe with {@code eval_steps}
   * @return the evaluations, in their order; where the run ended early, its last step is in a
   *     checkpoint
   */
  public static List<EvalMetrics> run(Recipe recipe, double goodEnough) {
    StopAtLoss listener = new StopAtLoss(goodEnough);
    RecipeRun run = new RecipeRun(recipe, System.out, false);
    run.listen(listener);
    run.stopWhen(listener::isReached);
    try {
      run.run();
    } catch (TrainingInterruptedException e) {
      System.out.println(e.getMessage());
    }
    return listener.evaluations;
  }
}
