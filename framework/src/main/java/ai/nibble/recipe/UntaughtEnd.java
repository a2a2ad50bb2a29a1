package ai.nibble.recipe;

import ai.nibble.data.Example;
import ai.nibble.data.Tokenizer;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;

/** Whether the end of answers that a recipe names is one that its rows ever end with. */
final class UntaughtEnd {
  private static final String ROLE = "eos_token";

  private UntaughtEnd() {}

  /**
   * A line about an {@code eos_token} of {@code special_tokens} that carries loss in no row, as a
   * chat template writes its own ends of turns; empty where the recipe names none, or rows have it.
   */
  static Optional<String> note(Recipe recipe, List<Example> train, Tokenizer tokenizer) {
    String text = recipe.vocabulary().specialTokens().get(ROLE);
    if (text == null || tokenizer.eosId().isEmpty()) {
      return Optional.empty();
    }
    int end = tokenizer.eosId().getAsInt();
    if (train.stream().anyMatch(row -> learns(row, end))) {
      return Optional.empty();
    }
    return Optional.of(
        "note: special_tokens: "
            + ROLE
            + " '"
            + Problems.shown(text)
            + "' carries loss in no row, so nothing teaches the model to end an answer with it:"
            + " write it in the chat template, or leave it out");
  }

  private static boolean learns(Example row, int id) {
    return Arrays.stream(row.labels()).anyMatch(label -> label == id);
  }
}
