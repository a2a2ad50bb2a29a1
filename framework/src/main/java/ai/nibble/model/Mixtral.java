package ai.nibble.model;

import ai.nibble.model.DecoderForm.ExpertsForm;
import ai.nibble.model.DecoderForm.LayerAttention;
import ai.nibble.model.DecoderForm.Projections;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.OptionalInt;

/**
 * Mixtral ({@code MixtralConfig}): Llama, whose MLPs are mixtures of experts. llama.cpp has it as
 * {@code llama}, without a window.
 */
final class Mixtral extends Architecture {
  Mixtral() {
    super("MixtralForCausalLM", "mixtral", new Gguf("llama", true, true));
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
        1_000_000,
        false,
        OptionalInt.of(1),
        List.of(2),
        OptionalInt.empty());
  }

  @Override
  double rmsNormEps() {
    return 1e-5;
  }

  @Override
  boolean isIn(GgufFields file) {
    return super.isIn(file) && file.count("expert_count") > 0;
  }

  @Override
  void configure(GgufFields file, ObjectNode json) {
    super.configure(file, json);
    json.put("num_local_experts", file.integer("expert_count"));
    json.put("num_experts_per_tok", file.integer("expert_used_count"));
    file.window().ifPresent(window -> json.put("sliding_window", window));
  }

  @Override
  DecoderForm form(ConfigFields f, int layers) {
    refuseAuxiliaryLoss(f);
    if (f.number("router_jitter_noise", 0) != 0) {
      f.wrong("router_jitter_noise", "0: tokens are routed without noise");
    }
    ExpertsForm experts =
        new ExpertsForm(
            f.integer("num_local_experts", 8),
            f.integer("num_experts_per_tok", 2),
            f.integer("intermediate_size", defaults().intermediateSize()),
            true,
            false,
            ExpertNames.MIXTRAL,
            Collections.nCopies(layers, true));
    LayerAttention attention = LayerAttention.rotary(f.integerOrNull("sliding_window"));
    return DecoderForm.plain(Projections.PLAIN, silu(f), DecoderForm.everywhere(attention, layers))
        .with(experts);
  }

  /** The loss that balances experts is not part of any objective here. */
  static void refuseAuxiliaryLoss(ConfigFields f) {
    if (f.flag("output_router_logits", false)) {
      f.wrong(
          "output_router_logits",
          "false: the router's auxiliary loss is not supported, training would leave it out");
    }
    f.hasValue("router_aux_loss_coef"); // of that loss alone
  }

  @Override
  Map<String, Integer> ggufIntegers(ModelConfig c) {
    return counts(c);
  }

  static Map<String, Integer> counts(ModelConfig c) {
    ExpertsForm experts = c.form().experts().orElseThrow();
    return Map.of("expert_count", experts.count(), "expert_used_count", experts.perToken());
  }
}
