package ai.nibble.model;

import ai.nibble.model.DecoderForm.LayerAttention;
import ai.nibble.model.DecoderForm.Norms;
import ai.nibble.model.DecoderForm.Projections;
import ai.nibble.model.DecoderForm.Scales;
import ai.nibble.nn.Activation;
import ai.nibble.nn.NormScale;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.OptionalInt;

/**
 * Gemma 2 ({@code Gemma2Config}): scaled embeddings, norms around attention and MLP whose weights
 * are distances from 1, an MLP gated by GELU, soft caps on scores and logits, and a window in every
 * other layer, the first among them.
 */
final class Gemma2 extends Architecture {
  private static final OptionalInt DEFAULT_WINDOW = OptionalInt.of(4096);

  /** llama.cpp has this pattern of windows alone. */
  private static final int PATTERN = 2;

  private static final int LAYERS_OF_27B = 46;
  private static final int DEFAULT_SCORE_CAP = 50;
  private static final int DEFAULT_FINAL_CAP = 30;

  static final String SCORE_CAP = "attn_logit_softcapping";
  static final String FINAL_CAP = "final_logit_softcapping";

  Gemma2() {
    super("Gemma2ForCausalLM", "gemma2", new Gguf("gemma2", false, false));
  }

  @Override
  Defaults defaults() {
    return new Defaults(
        256000,
        2304,
        9216,
        26,
        8,
        OptionalInt.of(4),
        OptionalInt.of(256),
        8192,
        10_000,
        true,
        OptionalInt.of(2),
        List.of(1),
        OptionalInt.of(0));
  }

  @Override
  void configure(GgufFields file, ObjectNode json) {
    configure(file, json, LAYERS_OF_27B);
    json.put(SCORE_CAP, file.number(SCORE_CAP, DEFAULT_SCORE_CAP));
    json.put(FINAL_CAP, file.number(FINAL_CAP, DEFAULT_FINAL_CAP));
    file.setWindowsAlways(json, PATTERN);
    if (!file.has(GgufFields.SLIDING_WINDOW)) {
      json.remove("sliding_window");
      json.remove("layer_types"); // the defaults of both are llama.cpp's
    }
  }

  /** What the files of Gemma 2 and 3 take for granted. */
  static void configure(GgufFields file, ObjectNode json, int layersOf27B) {
    json.put("hidden_activation", Activation.GELU_TANH.hiddenAct());
    json.put(
        "query_pre_attn_scalar",
        file.layers() == layersOf27B
            ? json.get("hidden_size").intValue() / json.get("num_attention_heads").intValue()
            : json.get("head_dim").intValue());
  }

  @Override
  DecoderForm form(ConfigFields f, int layers) {
    List<LayerAttention> attention =
        SlidingFields.windowsAlways(f, layers, DEFAULT_WINDOW, layer -> (layer + 1) % PATTERN != 0)
            .stream()
            .map(LayerAttention::rotary)
            .toList();
    Scales scales =
        new Scales(
            true,
            attentionScale(f),
            cap(f, SCORE_CAP, OptionalDouble.of(DEFAULT_SCORE_CAP)),
            cap(f, FINAL_CAP, OptionalDouble.of(DEFAULT_FINAL_CAP)));
    return form(f, attention, Norms.Heads.NONE, scales);
  }

  @Override
  boolean slidesInGguf() {
    return true;
  }

  @Override
  Map<String, Double> ggufNumbers(ModelConfig c) {
    Map<String, Double> caps = new LinkedHashMap<>();
    c.form().scales().scoreCap().ifPresent(cap -> caps.put(SCORE_CAP, cap));
    c.form().scales().logitCap().ifPresent(cap -> caps.put(FINAL_CAP, cap));
    return caps;
  }

  @Override
  Optional<String> inexpressible(ModelConfig c) {
    Scales scales = c.form().scales();
    if (scales.scoreCap().isEmpty() || scales.logitCap().isEmpty()) {
      return Optional.of("llama.cpp's architecture 'gemma2' has both soft caps, this has not");
    }
    if (!c.tieWordEmbeddings()) {
      return Optional.of("llama.cpp's architecture 'gemma2' has no output head of its own");
    }
    return inexpressible(c, PATTERN, LAYERS_OF_27B);
  }

  /**
   * What llama.cpp takes for granted of Gemma 2 and 3.
   *
   * @param pattern each layer so many sees everything, the others slide
   * @param layersOf27B by which it knows the model whose scores are scaled otherwise
   */
  static Optional<String> inexpressible(ModelConfig c, int pattern, int layersOf27B) {
    String name = c.architecture().gguf().name();
    List<LayerAttention> layers = c.form().layers();
    for (int i = 0; i < layers.size(); i++) {
      if (layers.get(i).slidingWindow().isPresent() == ((i + 1) % pattern == 0)) {
        return Optional.of(
            "the layers that slide are others than llama.cpp's architecture '%s' takes for granted,"
                    .formatted(name)
                + " all but every %d%s".formatted(pattern, pattern == 2 ? "nd" : "th"));
      }
    }
    int divisor =
        c.numHiddenLayers() == layersOf27B ? c.hiddenSize() / c.numAttentionHeads() : c.headDim();
    double scale = c.form().scales().attention().orElseThrow();
    if ((float) scale != (float) (1 / Math.sqrt(divisor))) {
      return Optional.of(
          "'query_pre_attn_scalar' is not %d, which llama.cpp takes for granted for the architecture"
                  .formatted(divisor)
              + " '%s' with these sizes".formatted(name));
    }
    return c.form().projections().attentionBias()
        ? Optional.of("llama.cpp's architecture '%s' has no biases".formatted(name))
        : Optional.empty();
  }

  /** What Gemma 2 and Gemma 3 share. */
  static DecoderForm form(
      ConfigFields f, List<LayerAttention> attention, Norms.Heads heads, Scales scales) {
    if (f.hasValue("use_bidirectional_attention") && f.flag("use_bidirectional_attention", false)) {
      f.wrong("use_bidirectional_attention", "false or null: attention here is causal");
    }
    Projections projections = Projections.attention(f.flag("attention_bias", false));
    return DecoderForm.plain(projections, activation(f), attention)
        .with(new Norms(Norms.Place.AROUND, heads, NormScale.OFFSET))
        .with(scales);
  }

  /** {@code query_pre_attn_scalar} to the power of −1/2. */
  static OptionalDouble attentionScale(ConfigFields f) {
    double scalar = f.number("query_pre_attn_scalar", 256);
    if (!(scalar > 0 && scalar <= Float.MAX_VALUE)) {
      f.wrong("query_pre_attn_scalar", "a finite number above 0");
      return OptionalDouble.empty();
    }
    return OptionalDouble.of(1 / Math.sqrt(scalar));
  }

  /** A soft cap; null means none. */
  static OptionalDouble cap(ConfigFields f, String key, OptionalDouble absent) {
    if (!f.has(key)) {
      return absent;
    }
    if (!f.hasValue(key)) {
      return OptionalDouble.empty();
    }
    double cap = f.number(key, 1);
    if (!((float) cap > 0 && cap <= Float.MAX_VALUE)) {
      f.wrong(key, "null or a finite number above 0");
      return OptionalDouble.empty();
    }
    return OptionalDouble.of(cap);
  }

  /** Files from before transformers 4.40 name {@code hidden_act} too, which decides nothing. */
  private static Activation activation(ConfigFields f) {
    f.hasValue("hidden_act");
    String key = "hidden_activation";
    String tanh = Activation.GELU_TANH.hiddenAct();
    // null is what the first files had: this one was meant
    String act = f.hasValue(key) ? f.string(key, tanh) : tanh;
    if (!act.equals(tanh)) {
      f.wrong(key, "'" + tanh + "'");
    }
    return Activation.GELU_TANH;
  }
}
