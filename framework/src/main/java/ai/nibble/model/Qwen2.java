package ai.nibble.model;

import ai.nibble.model.DecoderForm.LayerAttention;
import ai.nibble.model.DecoderForm.Projections;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.List;
import java.util.OptionalInt;

/**
 * Qwen 2 and 2.5 ({@code Qwen2Config}): biases on q, k and v and nowhere else. Where {@code
 * use_sliding_window} is true, layers from {@code max_window_layers} on slide.
 */
final class Qwen2 extends Architecture {
  private static final OptionalInt DEFAULT_WINDOW = OptionalInt.of(4096);
  private static final int DEFAULT_FIRST_SLIDING = 28;

  Qwen2() {
    super("Qwen2ForCausalLM", "qwen2", new Gguf("qwen2", false, false));
  }

  @Override
  Defaults defaults() {
    return defaults(OptionalInt.empty());
  }

  /** As Qwen 2 and Qwen 3 have them, but for the width of a head. */
  static Defaults defaults(OptionalInt headDim) {
    return new Defaults(
        151936,
        4096,
        22016,
        32,
        32,
        OptionalInt.of(32),
        headDim,
        32768,
        10_000,
        false,
        OptionalInt.empty(),
        List.of(),
        OptionalInt.empty());
  }

  @Override
  void configure(GgufFields file, ObjectNode json) {
    super.configure(file, json);
    file.setWindows(json);
  }

  @Override
  DecoderForm form(ConfigFields f, int layers) {
    return DecoderForm.plain(new Projections(true, false, false), silu(f), attention(f, layers));
  }

  /** As Qwen 2 and Qwen 3 say it. */
  static List<LayerAttention> attention(ConfigFields f, int layers) {
    int first = f.integer("max_window_layers", DEFAULT_FIRST_SLIDING);
    return SlidingFields.windows(f, layers, DEFAULT_WINDOW, layer -> layer >= first).stream()
        .map(LayerAttention::rotary)
        .toList();
  }
}
