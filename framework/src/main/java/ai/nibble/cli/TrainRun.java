package ai.nibble.cli;

import ai.nibble.recipe.Recipe;
import ai.nibble.recipe.RecipeRun;
import java.io.PrintStream;
import java.io.PrintWriter;

/** What {@code nibble train} does with a recipe once it is known to be sound. */
@FunctionalInterface
public interface TrainRun {
  /**
   * Trains.
   *
   * @param recipe checked, with an output directory that can be written
   * @param out standard output
   * @return the exit code: 0 done, 1 failed
   * @throws ai.nibble.InvalidInputException for what only the model or the rows can show, exit 2
   */
  int run(Recipe recipe, PrintWriter out);

  /**
   * Checks all that {@link #run} checks before its first step but for the weights' values, and
   * leaves nothing but encoded rows behind.
   *
   * @param notices takes what there is to say
   * @throws ai.nibble.InvalidInputException for what would be refused, exit 2
   */
  default void check(Recipe recipe, PrintStream notices) {
    new RecipeRun(recipe, notices, false).check();
  }
}
