package ai.nibble.examples;

import ai.nibble.recipe.Recipe;
import ai.nibble.recipe.RecipeLoader;
import ai.nibble.recipe.RecipeRun;
import java.nio.file.Path;
import java.util.List;
import java.util.OptionalDouble;

/** What the command line does, as a library: a recipe, some keys set in code, a run. */
public final class TrainFromRecipe {
  private TrainFromRecipe() {}

  /**
   * Trains.
   *
   * @param sets {@code key=value} each, which win over the recipe
   * @return the loss on the evaluation rows; empty without such rows
   */
  public static OptionalDouble run(Path recipeFile, List<String> sets) {
    Recipe recipe = RecipeLoader.loadForRun(recipeFile, sets);
    return new RecipeRun(recipe, System.out, false).run();
  }
}
