package ai.nibble.model;

import ai.nibble.model.DecoderForm.Projections;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.List;
import java.util.OptionalInt;

/** Llama 1 to 3 and what shares their form, such as SmolLM 2 ({@code LlamaConfig}). */
final class Llama extends Architecture {
  Llama() {
    super("LlamaForCausalLM", "llama", new Gguf("llama", true, true));
  }

  @Override
  Defaults defaults() {
    return new Defaults(
        32000,
        4096,
        11008,
        32,
        32,
        OptionalInt.empty(),
        OptionalInt.empty(),
        2048,
        10_000,
        false,
        OptionalInt.of(1),
        List.of(2),
        OptionalInt.empty());
  }

  @Override
  boolean isIn(GgufFields file) {
    return super.isIn(file) && file.count("expert_count") == 0 && !slides(file);
  }

  /** Mistral is Llama that slides; one with biases could be no Mistral. */
  static boolean slides(GgufFields file) {
    return file.window().isPresent() && !file.hasTensor("blk.0.attn_q.bias");
  }

  @Override
  void configure(GgufFields file, ObjectNode json) {
    super.configure(file, json);
    file.setBiases(json);
  }

  @Override
  DecoderForm form(ConfigFields f, int layers) {
    boolean bias = f.flag("attention_bias", false);
    boolean mlpBias = f.flag("mlp_bias", false);
    return DecoderForm.plain(
        new Projections(bias, bias, mlpBias),
        silu(f),
        DecoderForm.everywhere(DecoderForm.FULL, layers));
  }
}
