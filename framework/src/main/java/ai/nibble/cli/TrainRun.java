package ai.nibble.cli;

import ai.nibble.recipe.Recipe;
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
}
