package ai.nibble.model;

import ai.nibble.model.DecoderForm.LayerAttention;
import ai.nibble.model.DecoderForm.Projections;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.Set;

/**
 * SmolLM 3 ({@code SmolLM3Config}): Llama, but every fourth layer does not rotate positions in
 * (NoPE, Yang et al. 2025). Where {@code use_sliding_window} is true, these layers slide.
 */
final class SmolLm3 extends Architecture {
  private static final String NO_ROPE = "no_rope_layers";

  /** llama.cpp has this interval alone. */
  static final int INTERVAL = 4;

  SmolLm3() {
    super("SmolLM3ForCausalLM", "smollm3", new Gguf("smollm3", true, false));
  }

  @Override
  Defaults defaults() {
    return new Defaults(
        128256,
        2048,
        11008,
        36,
        16,
        OptionalInt.of(4),
        OptionalInt.empty(),
        32768,
        2_000_000,
        true,
        OptionalInt.of(128000),
        List.of(128001),
        OptionalInt.of(128004));
  }

  @Override
  void configure(GgufFields file, ObjectNode json) {
    super.configure(file, json);
    file.setBiases(json);
    file.setWindows(json);
  }

  @Override
  DecoderForm form(ConfigFields f, int layers) {
    List<Boolean> rotary = rotary(f, layers);
    List<OptionalInt> windows =
        SlidingFields.windows(f, layers, OptionalInt.empty(), layer -> !rotary.get(layer));
    List<LayerAttention> attention = new ArrayList<>();
    for (int i = 0; i < layers; i++) {
      attention.add(new LayerAttention(windows.get(i), rotary.get(i)));
    }
    boolean bias = f.flag("attention_bias", false);
    boolean mlpBias = f.flag("mlp_bias", false);
    return DecoderForm.plain(new Projections(bias, bias, mlpBias), silu(f), attention);
  }

  /** Which layers rotate: {@code no_rope_layers} has a 1 for those that do. */
  private static List<Boolean> rotary(ConfigFields f, int layers) {
    int interval = f.integer("no_rope_layer_interval", INTERVAL);
    if (interval < 1) {
      f.wrong("no_rope_layer_interval", "an integer from 1 up");
    }
    List<Boolean> rotary = new ArrayList<>();
    for (int i = 0; i < layers; i++) {
      rotary.add(interval < 1 || (i + 1) % interval != 0);
    }
    Optional<List<Integer>> named = f.integers(NO_ROPE);
    if (named.isEmpty()) {
      return rotary;
    }
    if (named.get().size() != layers || !Set.of(0, 1).containsAll(named.get())) {
      f.wrong(NO_ROPE, "for each of the " + layers + " layers 1 (rotates) or 0 (does not)");
      return rotary;
    }
    return named.get().stream().map(n -> n == 1).toList();
  }
}
