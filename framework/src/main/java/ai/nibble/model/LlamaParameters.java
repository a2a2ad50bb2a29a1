package ai.nibble.model;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** The tensors of a Llama-family model under their Hugging Face names, and their shapes. */
final class LlamaParameters {
  static final String EMBEDDING = "model.embed_tokens.weight";
  static final String NORM = "model.norm.weight";
  static final String HEAD = "lm_head.weight";
  static final String LAYERS = "model.layers.";

  private LlamaParameters() {}

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
    long hidden = c.hiddenSize();
    long intermediate = c.intermediateSize();
    long queries = (long) c.numAttentionHeads() * c.headDim();
    long keys = (long) c.numKeyValueHeads() * c.headDim();
    shapes.put(prefix + "input_layernorm.weight", List.of(hidden));
    linear(shapes, prefix + "self_attn.q_proj", queries, hidden, c.attentionBias());
    linear(shapes, prefix + "self_attn.k_proj", keys, hidden, c.attentionBias());
    linear(shapes, prefix + "self_attn.v_proj", keys, hidden, c.attentionBias());
    linear(shapes, prefix + "self_attn.o_proj", hidden, queries, c.attentionBias());
    shapes.put(prefix + "post_attention_layernorm.weight", List.of(hidden));
    linear(shapes, prefix + "mlp.gate_proj", intermediate, hidden, c.mlpBias());
    linear(shapes, prefix + "mlp.up_proj", intermediate, hidden, c.mlpBias());
    linear(shapes, prefix + "mlp.down_proj", hidden, intermediate, c.mlpBias());
  }

  private static void linear(
      Map<String, List<Long>> shapes, String module, long out, long in, boolean bias) {
    shapes.put(module + ".weight", List.of(out, in));
    if (bias) {
      shapes.put(module + ".bias", List.of(out));
    }
  }
}
