package ai.nibble.recipe;

import ai.nibble.InvalidInputException;
import ai.nibble.data.Tokenizer;
import ai.nibble.model.ModelConfig;

/**
 * Whether the model has a row of its embedding for every token: without one the run would fail in
 * its midst.
 */
final class VocabularyCheck {
  private VocabularyCheck() {}

  /**
   * @param highestOfRows highest id of what is trained and evaluated on
   * @throws InvalidInputException at the base model's place in the recipe
   */
  static void check(Recipe recipe, ModelConfig config, Tokenizer tokenizer, int highestOfRows) {
    // from scratch the whole vocabulary is to be learned, whatever tokens these rows happen to have
    int highest = recipe.init() == Recipe.Init.RANDOM ? tokenizer.vocabSize() - 1 : highestOfRows;
    try {
      config.requireToken(highest);
    } catch (InvalidInputException e) {
      throw new InvalidInputException(
          recipe.where("base_model") + ": 'base_model': " + e.getMessage(), e);
    }
  }
}
