package ai.nibble.model;

import ai.nibble.model.DecoderForm.ExpertsForm;
import ai.nibble.model.DecoderForm.LayerAttention;
import ai.nibble.model.DecoderForm.Projections;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;

/**
 * Qwen 3, the mixtures of experts ({@code Qwen3MoeConfig}): Qwen 3, whose MLPs are mixtures in each
 * layer that {@code decoder_sparse_step} hits and {@code mlp_only_layers} does not name. Where
 * {@code use_sliding_window} is true, all layers slide.
 */
final class Qwen3Moe extends Architecture {
  private static final int DEFAULT_WINDOW = 4096;

  Qwen3Moe() {
    super("Qwen3MoeForCausalLM", "qwen3_moe", new Gguf("qwen3moe", false, false));
  }

  @Override
  Defaults defaults() {
    return new Defaults(
        151936,
        2048,
        6144,
        24,
        32,
        OptionalInt.of(4),
        OptionalInt.empty(),
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
    int perToken = file.integer("expert_used_count");
    json.put("num_experts", file.integer("expert_count"));
    json.put("num_experts_per_tok", perToken);
    int single = file.integer("feed_forward_length");
    json.put(
        "moe_intermediate_size", file.integer("expert_feed_forward_length", single / perToken));
    json.put("norm_topk_prob", true); // what llama.cpp takes for granted
    file.window().ifPresent(w -> json.put("use_sliding_window", true).put("sliding_window", w));
  }

  @Override
  DecoderForm form(ConfigFields f, int layers) {
    Mixtral.refuseAuxiliaryLoss(f);
    // transformers writes the first name and reads both
    String count = f.has("num_local_experts") ? "num_local_experts" : "num_experts";
    ExpertsForm experts =
        new ExpertsForm(
            f.integer(count, 128),
            f.integer("num_experts_per_tok", 8),
            f.integer("moe_intermediate_size", 768),
            f.flag("norm_topk_prob", false),
            true,
            ExpertNames.QWEN,
            sparse(f, layers));
    OptionalInt window =
        f.has("sliding_window")
            ? f.integerOrNull("sliding_window")
            : OptionalInt.of(DEFAULT_WINDOW);
    boolean slides = f.flag("use_sliding_window", false);
    LayerAttention attention = LayerAttention.rotary(slides ? window : OptionalInt.empty());
    Projections projections = Projections.attention(f.flag("attention_bias", false));
    return DecoderForm.plain(projections, silu(f), DecoderForm.everywhere(attention, layers))
        .with(Qwen3.NORMS)
        .with(experts);
  }

  /** Which layers are mixtures. */
  private static List<Boolean> sparse(ConfigFields f, int layers) {
    int step = f.integer("decoder_sparse_step", 1);
    if (step < 1) {
      f.wrong("decoder_sparse_step", "an integer from 1 up");
    }
    List<Integer> single = f.integers("mlp_only_layers").orElse(List.of());
    List<Boolean> sparse = new ArrayList<>();
    for (int i = 0; i < layers; i++) {
      sparse.add(step > 0 && (i + 1) % step == 0 && !single.contains(i));
    }
    return sparse;
  }

  @Override
  Map<String, Integer> ggufIntegers(ModelConfig c) {
    Map<String, Integer> values = new LinkedHashMap<>(Mixtral.counts(c));
    values.put("expert_feed_forward_length", c.form().experts().orElseThrow().intermediateSize());
    return values;
  }

  @Override
  Optional<String> inexpressible(ModelConfig c) {
    ExpertsForm experts = c.form().experts().orElseThrow();
    String has = "llama.cpp's architecture 'qwen3moe' has ";
    if (experts.layers().contains(false)) {
      return Optional.of(has + "mixtures of experts in all layers");
    }
    if (!experts.sumToOne()) {
      return Optional.of(has + "weights of experts that add up to 1 ('norm_topk_prob')");
    }
    return c.form().projections().attentionBias()
        ? Optional.of(has + "no biases")
        : Optional.empty();
  }
}
