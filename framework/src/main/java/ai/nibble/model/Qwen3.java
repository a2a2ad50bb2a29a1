package ai.nibble.model;

import java.util.OptionalInt;

/**
 * Qwen 3, the dense models ({@code Qwen3Config}): each head of queries and keys is normalised
 * before it is rotated; windows as Qwen 2's.
 */
final class Qwen3 extends Architecture {
  Qwen3() {
    super("Qwen3ForCausalLM", "qwen3", new Gguf("qwen3", false, false));
  }

  @Override
  Defaults defaults() {
    return Qwen2.defaults(OptionalInt.of(128));
  }

  @Override
  DecoderForm form(ConfigFields f, int layers) {
    boolean bias = f.flag("attention_bias", false);
    return new DecoderForm(bias, bias, false, true, Qwen2.attention(f, layers));
  }
}
