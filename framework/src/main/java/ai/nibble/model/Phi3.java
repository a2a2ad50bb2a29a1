package ai.nibble.model;

import ai.nibble.model.DecoderForm.LayerAttention;
import ai.nibble.model.DecoderForm.Projections;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.function.Consumer;

/**
 * Phi 3, 3.5 and 4 ({@code Phi3Config}): Llama, whose q, k and v are one linear and whose gate and
 * up are another. May rotate a part of each head, stretch positions by LongRoPE, and slide in every
 * layer.
 */
final class Phi3 extends Architecture {
  Phi3() {
    super("Phi3ForCausalLM", "phi3", new Gguf("phi3", false, false));
  }

  @Override
  Defaults defaults() {
    return new Defaults(
        32064,
        3072,
        8192,
        32,
        32,
        OptionalInt.empty(),
        OptionalInt.empty(),
        4096,
        10_000,
        false,
        OptionalInt.of(1),
        List.of(32000),
        OptionalInt.of(32000));
  }

  @Override
  double rmsNormEps() {
    return 1e-5;
  }

  @Override
  RopeFields rope(
      ConfigFields fields, int length, List<String> problems, Consumer<String> notices) {
    return RopeFields.phi(fields, length, problems, notices);
  }

  @Override
  double rotaryShare(RopeFields rope) {
    return rope.partialRotaryFactor();
  }

  @Override
  boolean rotatesPartly() {
    return true;
  }

  @Override
  void configure(GgufFields file, ObjectNode json) {
    super.configure(file, json);
    file.window().ifPresent(window -> json.put("sliding_window", window));
  }

  @Override
  DecoderForm form(ConfigFields f, int layers) {
    f.hasValue("original_max_position_embeddings"); // of LongRoPE alone
    LayerAttention attention = LayerAttention.rotary(f.integerOrNull("sliding_window"));
    return DecoderForm.plain(Projections.FUSED, silu(f), DecoderForm.everywhere(attention, layers));
  }

  /** llama.cpp's converter writes 0 where there is none. */
  @Override
  Map<String, Integer> ggufIntegers(ModelConfig c) {
    return Map.of(GgufFields.SLIDING_WINDOW, c.form().slidingWindow().orElse(0));
  }

  @Override
  Optional<String> inexpressible(ModelConfig c) {
    return c.numAttentionHeads() * c.headDim() == c.hiddenSize()
        ? Optional.empty()
        : Optional.of("llama.cpp's architecture 'phi3' has heads that make up the hidden size");
  }
}
