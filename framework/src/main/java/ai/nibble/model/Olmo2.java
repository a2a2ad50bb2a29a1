package ai.nibble.model;

import ai.nibble.model.DecoderForm.Norms;
import ai.nibble.model.DecoderForm.Projections;
import ai.nibble.nn.NormScale;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;

/**
 * OLMo 2 ({@code Olmo2Config}): Llama, but what attention and MLP give is normalised instead of
 * what they read, and so are all query heads together and all key heads.
 */
final class Olmo2 extends Architecture {
  private static final Norms NORMS = new Norms(Norms.Place.AFTER, Norms.Heads.ALL, NormScale.EXACT);

  Olmo2() {
    super("Olmo2ForCausalLM", "olmo2", new Gguf("olmo2", false, false));
  }

  @Override
  Defaults defaults() {
    return new Defaults(
        50304,
        4096,
        11008,
        32,
        32,
        OptionalInt.empty(),
        OptionalInt.empty(),
        2048,
        10_000,
        false,
        OptionalInt.empty(),
        List.of(50279),
        OptionalInt.of(1));
  }

  @Override
  double rmsNormEps() {
    return 1e-5;
  }

  /** With a window it would be OLMo 3, which llama.cpp has under the same name. */
  @Override
  void configure(GgufFields file, ObjectNode json) {
    super.configure(file, json);
    if (file.window().isPresent()) {
      throw file.bad(
          GgufFields.SLIDING_WINDOW,
          "is %d, expected none: OLMo 3 is not supported".formatted(file.window().getAsInt()));
    }
  }

  @Override
  DecoderForm form(ConfigFields f, int layers) {
    Projections projections = Projections.attention(f.flag("attention_bias", false));
    return DecoderForm.plain(projections, silu(f), DecoderForm.everywhere(DecoderForm.FULL, layers))
        .with(NORMS);
  }

  @Override
  Optional<String> inexpressible(ModelConfig c) {
    String has = "llama.cpp's architecture 'olmo2' has ";
    if (c.form().projections().attentionBias()) {
      return Optional.of(has + "no biases");
    }
    if (c.tieWordEmbeddings()) {
      return Optional.of(has + "an output head of its own, here it is the embedding");
    }
    return c.numAttentionHeads() * c.headDim() == c.hiddenSize()
        ? Optional.empty()
        : Optional.of(has + "heads that make up the hidden size");
  }
}
