package ai.nibble.model;

import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.List;
import java.util.Optional;

/**
 * The text model of a model of text and images, as {@code Gemma3ForConditionalGeneration} has one:
 * its part of {@code config.json} and its tensors' names. What is made of such a base is the text
 * model by itself.
 */
final class TextConfig {
  /** What the whole model's object says of the text model where that does not itself. */
  private static final List<String> INHERITED =
      List.of(
          "dtype",
          "torch_dtype",
          "bos_token_id",
          "eos_token_id",
          "pad_token_id",
          "tie_word_embeddings",
          "initializer_range");

  /** The text model's tensors lie under the first, as saved before transformers 5 and since. */
  private static final List<String> PREFIXES = List.of("language_model.", "model.language_model.");

  private static final List<String> OTHER_PARTS =
      List.of(
          "vision_tower.",
          "multi_modal_projector.",
          "model.vision_tower.",
          "model.multi_modal_projector.");

  private TextConfig() {}

  /** The text model's own object; empty where the object is of a text model already. */
  static Optional<ObjectNode> of(ObjectNode whole) {
    if (!whole.path("model_type").asText().equals("gemma3")
        || !(whole.get("text_config") instanceof ObjectNode part)) {
      return Optional.empty();
    }
    ObjectNode text = part.deepCopy();
    text.putArray("architectures").add("Gemma3ForCausalLM");
    text.put("model_type", "gemma3_text");
    for (String key : INHERITED) {
      if (!text.has(key) && whole.has(key)) {
        text.set(key, whole.get(key));
      }
    }
    return Optional.of(text);
  }

  /** The name of a stored tensor in the text model; empty for one of another part. */
  static Optional<String> tensorName(ModelConfig config, String stored) {
    if (!(config.architecture() instanceof Gemma3)) {
      return Optional.of(stored);
    }
    if (OTHER_PARTS.stream().anyMatch(stored::startsWith)) {
      return Optional.empty();
    }
    if (stored.startsWith(PREFIXES.get(0))) {
      return Optional.of(stored.substring(PREFIXES.get(0).length()));
    }
    return Optional.of(
        stored.startsWith(PREFIXES.get(1))
            ? "model." + stored.substring(PREFIXES.get(1).length())
            : stored);
  }
}
