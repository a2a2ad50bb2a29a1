package ai.nibble.recipe;

import ai.nibble.InvalidInputException;
import ai.nibble.data.Example;
import ai.nibble.data.Tokenizer;
import ai.nibble.model.ModelConfig;
import java.util.List;
import java.util.stream.IntStream;

/**
 * Whether the model has a row of its embedding for every token: without one the run would fail in
 * its midst.
 */
final class VocabularyCheck {
  private VocabularyCheck() {}

  /**
   * @param examples all that are trained and evaluated on
   * @throws InvalidInputException at the base model's place in the recipe
   */
  static void check(
      Recipe recipe, ModelConfig config, Tokenizer tokenizer, List<Example> examples) {
    // from scratch the whole vocabulary is to be learned, whatever tokens these rows happen to have
    int highest =
        recipe.init() == Recipe.Init.RANDOM
            ? tokenizer.vocabSize() - 1
            : examples.stream()
                .flatMapToInt(example -> IntStream.of(example.inputIds()))
                .max()
                .orElse(0);
    try {
      config.requireToken(highest);
    } catch (InvalidInputException e) {
      throw new InvalidInputException(
          recipe.where("base_model") + ": 'base_model': " + e.getMessage(), e);
    }
  }
}
