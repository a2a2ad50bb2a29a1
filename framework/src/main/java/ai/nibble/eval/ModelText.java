package ai.nibble.eval;

import ai.nibble.data.ChatTemplate;
import ai.nibble.data.PromptEncoder;
import ai.nibble.data.Tokenizer;
import ai.nibble.model.ModelConfig;
import ai.nibble.model.ModelStore;
import java.nio.file.Path;
import java.util.Optional;

/**
 * How a model reads and writes text: what is there before its weights are loaded. Holds the
 * tokenizer until closed.
 *
 * @param directory of the tokenizer and the configuration
 * @param template empty where questions are plain text
 */
public record ModelText(
    Path directory, ModelConfig config, Tokenizer tokenizer, Optional<ChatTemplate> template)
    implements AutoCloseable {

  /** Reads a model's configuration and tokenizer. */
  public static ModelText load(Path directory, Optional<ChatTemplate> template) {
    ModelConfig config = ModelConfig.read(directory.resolve(ModelStore.CONFIG), notice -> {});
    return new ModelText(directory, config, Tokenizer.load(directory), template);
  }

  /** Most tokens of a text, behind what stands before any. */
  public int mostTokens() {
    return config.maxPositionEmbeddings() - tokenizer.textPrefix().length;
  }

  /** Tells tokenizers apart. */
  String fingerprint() {
    return Fingerprint.of(directory.resolve("tokenizer.json"));
  }

  /** Encodes prompts, and refuses those that leave no room for an answer. */
  PromptEncoder prompts() {
    return new PromptEncoder(tokenizer, template.orElse(null), config);
  }

  /** Token ids without anything before them, each known to the model. */
  int[] ids(String text) {
    int[] ids = tokenizer.encode(text).ids();
    for (int id : ids) {
      config.requireToken(id);
    }
    return ids;
  }

  @Override
  public void close() {
    tokenizer.close();
  }
}
