package ai.nibble.model;

import ai.nibble.model.DecoderForm.LayerAttention;
import ai.nibble.model.DecoderForm.Norms;
import ai.nibble.model.DecoderForm.Rope;
import ai.nibble.model.DecoderForm.Scales;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.OptionalInt;
import java.util.function.Consumer;

/**
 * Gemma 3 ({@code Gemma3TextConfig}), and the text model of those that see images too: as Gemma 2,
 * but each head of queries and keys is normalised, scores have no cap, all but every sixth layer
 * slide, and those rotate by frequencies of their own.
 */
final class Gemma3 extends Architecture {
  private static final OptionalInt DEFAULT_WINDOW = OptionalInt.of(4096);
  private static final int DEFAULT_LOCAL_THETA = 10_000;
  private static final String LOCAL_THETA = "rope.freq_base_swa";

  /** llama.cpp has this pattern of windows alone. */
  private static final int PATTERN = 6;

  private static final int LAYERS_OF_27B = 62;
  private static final String PATTERN_KEY = "sliding_window_pattern";

  Gemma3() {
    super("Gemma3ForCausalLM", "gemma3_text", new Gguf("gemma3", false, false));
  }

  @Override
  Defaults defaults() {
    return new Defaults(
        262208,
        2304,
        9216,
        26,
        8,
        OptionalInt.of(4),
        OptionalInt.of(256),
        131_072,
        1_000_000,
        true,
        OptionalInt.of(2),
        List.of(1),
        OptionalInt.of(0));
  }

  @Override
  RopeFields rope(
      ConfigFields fields, int length, List<String> problems, Consumer<String> notices) {
    return RopeFields.full(fields, length, problems, notices);
  }

  @Override
  Optional<Rope> slidingRope(
      ConfigFields fields, int length, List<String> problems, Consumer<String> notices) {
    RopeFields rope = RopeFields.sliding(fields, length, problems, notices);
    return Optional.of(new Rope(rope.theta(DEFAULT_LOCAL_THETA), rope.scaling()));
  }

  @Override
  void configure(GgufFields file, ObjectNode json) {
    Gemma2.configure(file, json, LAYERS_OF_27B);
    json.put("rope_local_base_freq", file.number(LOCAL_THETA, DEFAULT_LOCAL_THETA));
    if (file.has(Gemma2.FINAL_CAP)) {
      json.put(Gemma2.FINAL_CAP, file.number(Gemma2.FINAL_CAP));
    }
    file.setWindowsAlways(json, PATTERN);
  }

  @Override
  DecoderForm form(ConfigFields f, int layers) {
    f.hasValue("_" + PATTERN_KEY); // what an older file said, beside the layer_types made of it
    int pattern = f.integer(PATTERN_KEY, PATTERN);
    if (pattern < 1) {
      f.wrong(PATTERN_KEY, "an integer from 1 up");
    }
    List<LayerAttention> attention =
        SlidingFields.windowsAlways(
                f, layers, DEFAULT_WINDOW, layer -> pattern > 0 && (layer + 1) % pattern != 0)
            .stream()
            .map(LayerAttention::rotary)
            .toList();
    Scales scales =
        new Scales(
            true,
            Gemma2.attentionScale(f),
            OptionalDouble.empty(),
            Gemma2.cap(f, Gemma2.FINAL_CAP, OptionalDouble.empty()));
    return Gemma2.form(f, attention, Norms.Heads.EACH, scales);
  }

  @Override
  boolean slidesInGguf() {
    return true;
  }

  @Override
  Map<String, Double> ggufNumbers(ModelConfig c) {
    Map<String, Double> numbers = new LinkedHashMap<>();
    numbers.put(LOCAL_THETA, c.form().slidingRope().orElseThrow().theta());
    c.form().scales().logitCap().ifPresent(cap -> numbers.put(Gemma2.FINAL_CAP, cap));
    return numbers;
  }

  @Override
  Optional<String> inexpressible(ModelConfig c) {
    return c.form().slidingRope().orElseThrow().scaling() instanceof RopeScaling.Default
        ? Gemma2.inexpressible(c, PATTERN, LAYERS_OF_27B)
        : Optional.of("layers that slide scale their rotary frequencies");
  }
}
