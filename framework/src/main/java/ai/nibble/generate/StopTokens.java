package ai.nibble.generate;

import ai.nibble.data.PromptEncoder;
import ai.nibble.data.Tokenizer;
import ai.nibble.model.GenerationConfig;
import ai.nibble.model.ModelConfig;
import java.nio.file.Path;
import java.util.Set;
import java.util.TreeSet;

/** The tokens that end an answer. */
public final class StopTokens {
  private StopTokens() {}

  /**
   * Those that {@code generation_config.json} or else {@code config.json} names, the tokenizer's
   * end of sequence, and what the chat template closes the assistant's turn with.
   *
   * @param directory of the model's files
   * @throws ai.nibble.InvalidInputException if generation_config.json is there and damaged
   */
  public static Set<Integer> of(
      Path directory, ModelConfig config, Tokenizer tokenizer, PromptEncoder prompts) {
    Set<Integer> ids = new TreeSet<>(GenerationConfig.read(directory, config).eosTokenIds());
    tokenizer.eosId().ifPresent(ids::add);
    prompts.endOfTurn().ifPresent(ids::add);
    return ids;
  }
}
