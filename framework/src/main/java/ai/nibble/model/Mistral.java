package ai.nibble.model;

import ai.nibble.model.DecoderForm.LayerAttention;
import ai.nibble.model.DecoderForm.Projections;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.List;
import java.util.OptionalInt;

/**
 * Mistral ({@code MistralConfig}): Llama without biases, whose attention slides in every layer
 * where {@code sliding_window} is not null. llama.cpp has it as {@code llama}, without the window:
 * a file of its converter is read as Llama, one that names the window as this.
 */
final class Mistral extends Architecture {
  private static final int DEFAULT_WINDOW = 4096;

  Mistral() {
    super("MistralForCausalLM", "mistral", new Gguf("llama", true, true));
  }

  @Override
  Defaults defaults() {
    return new Defaults(
        32000,
        4096,
        14336,
        32,
        32,
        OptionalInt.of(8),
        OptionalInt.empty(),
        4096 * 32,
        10_000,
        false,
        OptionalInt.of(1),
        List.of(2),
        OptionalInt.empty());
  }

  @Override
  boolean isIn(GgufFields file) {
    return super.isIn(file) && file.count("expert_count") == 0 && Llama.slides(file);
  }

  @Override
  void configure(GgufFields file, ObjectNode json) {
    super.configure(file, json);
    json.put("sliding_window", file.window().orElseThrow());
  }

  @Override
  DecoderForm form(ConfigFields f, int layers) {
    OptionalInt window =
        f.has("sliding_window")
            ? f.integerOrNull("sliding_window")
            : OptionalInt.of(DEFAULT_WINDOW);
    return DecoderForm.plain(
        Projections.PLAIN, silu(f), DecoderForm.everywhere(LayerAttention.rotary(window), layers));
  }
}
