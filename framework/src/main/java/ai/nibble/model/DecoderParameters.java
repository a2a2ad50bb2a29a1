package ai.nibble.model;

import ai.nibble.model.DecoderForm.Norms;
import ai.nibble.model.DecoderForm.Projections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** The tensors of a decoder under their Hugging Face names, and their shapes. */
final class DecoderParameters {
  static final String EMBEDDING = "model.embed_tokens.weight";
  static final String NORM = "model.norm.weight";
  static final String HEAD = "lm_head.weight";
  static final String LAYERS = "model.layers.";

  /**
   * Behind a layer's prefix: weights of the norms of query and of key heads, {@code [headDim]}, or
   * of all heads together.
   */
  static final String Q_NORM = "self_attn.q_norm.weight";

  static final String K_NORM = "self_attn.k_norm.weight";

  /** Behind a layer's prefix: of what attention reads, {@code [hidden]}. */
  static final String INPUT_NORM = "input_layernorm.weight";

  private static final String POST_ATTENTION_NORM = "post_attention_layernorm.weight";

  /** Of what the MLP gives. */
  static final String POST_MLP_NORM = "post_feedforward_layernorm.weight";

  /** q, k and v as one linear. */
  static final String QKV = "self_attn.qkv_proj";

  /** Gate and up as one linear. */
  static final String GATE_UP = "mlp.gate_up_proj";

  private DecoderParameters() {}

  /** The norm of what attention gives, where there is one. */
  static String afterAttention() {
    return POST_ATTENTION_NORM;
  }

  /** The norm of what the MLP reads: Llama's name for it means something else in Gemma. */
  static String beforeMlp(Norms norms) {
    return norms.after() ? "pre_feedforward_layernorm.weight" : POST_ATTENTION_NORM;
  }

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
    Projections with = form.projections();
    Norms norms = form.norms();
    norm(shapes, norms.before(), prefix + INPUT_NORM, hidden);
    if (with.fused()) {
      linear(shapes, prefix + QKV, queries + 2 * keys, hidden, with.attentionBias());
    } else {
      linear(shapes, prefix + "self_attn.q_proj", queries, hidden, with.attentionBias());
      linear(shapes, prefix + "self_attn.k_proj", keys, hidden, with.attentionBias());
      linear(shapes, prefix + "self_attn.v_proj", keys, hidden, with.attentionBias());
    }
    linear(shapes, prefix + "self_attn.o_proj", hidden, queries, with.outputBias());
    boolean all = norms.heads() == Norms.Heads.ALL;
    norm(shapes, norms.heads() != Norms.Heads.NONE, prefix + Q_NORM, all ? queries : c.headDim());
    norm(shapes, norms.heads() != Norms.Heads.NONE, prefix + K_NORM, all ? keys : c.headDim());
    norm(shapes, norms.after(), prefix + afterAttention(), hidden);
    norm(shapes, norms.before(), prefix + beforeMlp(norms), hidden);
    if (with.fused()) {
      linear(shapes, prefix + GATE_UP, 2 * intermediate, hidden, with.mlpBias());
    } else {
      linear(shapes, prefix + "mlp.gate_proj", intermediate, hidden, with.mlpBias());
      linear(shapes, prefix + "mlp.up_proj", intermediate, hidden, with.mlpBias());
    }
    linear(shapes, prefix + "mlp.down_proj", hidden, intermediate, with.mlpBias());
    norm(shapes, norms.after(), prefix + POST_MLP_NORM, hidden);
  }

  private static void norm(
      Map<String, List<Long>> shapes, boolean present, String name, long length) {
    if (present) {
      shapes.put(name, List.of(length));
    }
  }

  private static void linear(
      Map<String, List<Long>> shapes, String module, long out, long in, boolean bias) {
    shapes.put(module + ".weight", List.of(out, in));
    if (bias) {
      shapes.put(module + ".bias", List.of(out));
    }
  }
}
