package ai.nibble.recipe;

import ai.nibble.data.ChatTemplate;
import ai.nibble.data.PromptEncoder;
import ai.nibble.data.Tokenizer;
import ai.nibble.generate.StopTokens;
import ai.nibble.model.GenerationConfig;
import ai.nibble.model.ModelConfig;
import ai.nibble.model.WeightSource;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;

/** Whether conversations teach where an answer ends, and whether others will stop there. */
final class EndOfTurn {
  private EndOfTurn() {}

  /** A line where they do not; empty where all is well, or no conversations are trained on. */
  static Optional<String> warning(Recipe recipe, ModelConfig model, Tokenizer tokenizer) {
    ChatTemplate template = RecipeRows.template(recipe);
    if (template == null
        || !RecipeRows.areConversations(recipe.data().datasets().stream())
        || recipe.method() == Recipe.Method.PRETRAIN) {
      return Optional.empty();
    }
    OptionalInt end = new PromptEncoder(tokenizer, template).endOfTurn();
    if (end.isEmpty()) {
      return Optional.of(
          "warning: the chat template ends the assistant's turn with no control token: no end of"
              + " turn is taught, and answers will end only at --max-new-tokens");
    }
    List<Integer> named =
        GenerationConfig.read(WeightSource.directory(recipe.base()), model).eosTokenIds();
    if (named.isEmpty() || named.contains(end.getAsInt())) {
      return Optional.empty();
    }
    String token = StopTokens.shown(end.getAsInt(), tokenizer);
    return Optional.of(
        "note: turns end with "
            + token
            + ", which the base's eos_token_id "
            + named
            + " does not have: nibble stops there; other tools need "
            + end.getAsInt()
            + " among the eos_token_id of "
            + GenerationConfig.NAME);
  }
}
