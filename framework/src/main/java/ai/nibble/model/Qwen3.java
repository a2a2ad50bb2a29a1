package ai.nibble.model;

import ai.nibble.model.DecoderForm.Norms;
import ai.nibble.model.DecoderForm.Projections;
import ai.nibble.nn.NormScale;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.OptionalInt;

/**
 * Qwen 3, the dense models ({@code Qwen3Config}): each head of queries and keys is normalised
 * before it is rotated; windows as Qwen 2's.
 */
final class Qwen3 extends Architecture {
  static final Norms NORMS = new Norms(Norms.Place.BEFORE, Norms.Heads.EACH, NormScale.ROUNDED);

  Qwen3() {
    super("Qwen3ForCausalLM", "qwen3", new Gguf("qwen3", false, false));
  }

  @Override
  Defaults defaults() {
    return Qwen2.defaults(OptionalInt.of(128));
  }

  @Override
  void configure(GgufFields file, ObjectNode json) {
    super.configure(file, json);
    file.setBiases(json);
    file.setWindows(json);
  }

  @Override
  DecoderForm form(ConfigFields f, int layers) {
    boolean bias = f.flag("attention_bias", false);
    return DecoderForm.plain(Projections.attention(bias), silu(f), Qwen2.attention(f, layers))
        .with(NORMS);
  }
}
