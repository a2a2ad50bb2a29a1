package ai.nibble.model;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** The tensors of a decoder under their Hugging Face names, and their shapes. */
final class DecoderParameters {
  static final String EMBEDDING = "model.embed_tokens.weight";
  static final String NORM = "model.norm.weight";
  static final String HEAD = "lm_head.weight";
  static final String LAYERS = "model.layers.";

  /** Behind a layer's prefix: weights of the norms of query and of key heads, {@code [headDim]}. */
  static final String Q_NORM = "self_attn.q_norm.weight";

  static final String K_NORM = "self_attn.k_norm.weight";

  private DecoderParameters() {}

  /** Name to shape ({@code [out, in]} of a weight), embedding first, then layer by layer. */
  static Map<String, List<Long>> shapes(ModelConfig c) {
    long hidden = c.hiddenSize();
    long vocab = c.vocabSize();
    Map<String, List<Long>> shapes = new LinkedHashMap<>();
    shapes.put(EMBEDDING, List.of(vocab, hidden));
    for (int layer = 0; layer < c.numHiddenLayers(); layer++) {
      layer(shapes, LAYERS + layer + ".", c);
    }
    shapes.put(NORM, List.of(hidden));
    if (!c.tieWordEmbeddings()) {
      shapes.put(HEAD, List.of(vocab, hidden));
    }
    return shapes;
  }

  private static void layer(Map<String, List<Long>> shapes, String prefix, ModelConfig c) {
    DecoderForm form = c.form();
    long hidden = c.hiddenSize();
    long intermediate = c.intermediateSize();
    long queries = (long) c.numAttentionHeads() * c.headDim();
    long keys = (long) c.numKeyValueHeads() * c.headDim();
    shapes.put(prefix + "input_layernorm.weight", List.of(hidden));
    linear(shapes, prefix + "self_attn.q_proj", queries, hidden, form.attentionBias());
    linear(shapes, prefix + "self_attn.k_proj", keys, hidden, form.attentionBias());
    linear(shapes, prefix + "self_attn.v_proj", keys, hidden, form.attentionBias());
    linear(shapes, prefix + "self_attn.o_proj", hidden, queries, form.outputBias());
    if (form.headNorm()) {
      shapes.put(prefix + Q_NORM, List.of((long) c.headDim()));
      shapes.put(prefix + K_NORM, List.of((long) c.headDim()));
    }
    shapes.put(prefix + "post_attention_layernorm.weight", List.of(hidden));
    linear(shapes, prefix + "mlp.gate_proj", intermediate, hidden, form.mlpBias());
    linear(shapes, prefix + "mlp.up_proj", intermediate, hidden, form.mlpBias());
    linear(shapes, prefix + "mlp.down_proj", hidden, intermediate, form.mlpBias());
  }

  private static void linear(
      Map<String, List<Long>> shapes, String module, long out, long in, boolean bias) {
    shapes.put(module + ".weight", List.of(out, in));
    if (bias) {
      shapes.put(module + ".bias", List.of(out));
    }
  }
}
