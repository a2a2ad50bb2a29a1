package ai.nibble.model;

import ai.nibble.model.DecoderForm.LayerAttention;
import ai.nibble.nn.Attention;
import ai.nibble.nn.DenseWeight;
import ai.nibble.nn.HeadNorm;
import ai.nibble.nn.LinearGroup;
import ai.nibble.nn.RmsNorm;
import ai.nibble.nn.RotaryTable;
import ai.nibble.nn.Weight;
import ai.nibble.tensor.Scope;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/** Assembles a decoder from its tensors, under Hugging Face's names, as its form says. */
final class DecoderAssembly {
  private static final int GROUPS_A_LAYER = 4;

  private static final List<String> LINEARS =
      List.of(
          "self_attn.q_proj",
          "self_attn.k_proj",
          "self_attn.v_proj",
          "self_attn.o_proj",
          "mlp.gate_proj",
          "mlp.up_proj",
          "mlp.down_proj");

  private DecoderAssembly() {}

  static CausalLm load(WeightLoader weights, CausalLm.LoadProgress progress) {
    ModelConfig config = weights.config();
    try (Scope parts = new Scope()) {
      weights.parameters().ifPresent(parts::own);
      DenseWeight embedding =
          parts.own(
              weights.dense("model.embed_tokens.weight", config.vocabSize(), config.hiddenSize()));
      Rotaries rotaries = new Rotaries(config);
      List<DecoderLayer> layers = new ArrayList<>();
      for (int i = 0; i < config.numHiddenLayers(); i++) {
        layers.add(parts.own(layer(weights, config, i, rotaries)));
        progress.layerDone(i + 1, config.numHiddenLayers());
      }
      RmsNorm norm = parts.own(weights.norm("model.norm.weight", config.hiddenSize()));
      Weight head =
          config.tieWordEmbeddings()
              ? embedding
              : parts.own(weights.head("lm_head.weight", config.vocabSize(), config.hiddenSize()));
      CausalLm model =
          new CausalLm(
              config,
              weights.precision(),
              embedding,
              layers,
              norm,
              head,
              weights.parameters().orElse(null));
      parts.release();
      return model;
    }
  }

  static List<String> linearPaths(ModelConfig config) {
    List<String> paths = new ArrayList<>();
    for (int i = 0; i < config.numHiddenLayers(); i++) {
      for (String linear : LINEARS) {
        paths.add("model.layers." + i + "." + linear);
      }
    }
    return paths;
  }

  /** The tables that layers share: of the model's frequencies, and one that turns nothing. */
  private static final class Rotaries {
    private final RotaryTable rotating;
    private final RotaryTable still;

    Rotaries(ModelConfig config) {
      RotaryFrequencies frequencies = RotaryFrequencies.of(config);
      rotating = new RotaryTable(frequencies.inverseFrequencies(), frequencies.attentionScaling());
      // without positions: every position is the angle 0, whose rotation leaves all bits as they
      // are
      still = new RotaryTable(new float[config.headDim() / 2], 1);
    }

    RotaryTable of(LayerAttention attention) {
      return attention.rotary() ? rotating : still;
    }
  }

  private static DecoderLayer layer(
      WeightLoader weights, ModelConfig c, int index, Rotaries rotaries) {
    String at = "model.layers." + index + ".";
    String self = at + "self_attn.";
    String mlp = at + "mlp.";
    long hidden = c.hiddenSize();
    long q = (long) c.numAttentionHeads() * c.headDim();
    long kv = (long) c.numKeyValueHeads() * c.headDim();
    long inner = c.intermediateSize();
    int key = index * GROUPS_A_LAYER;
    boolean bias = c.form().attentionBias();
    boolean outputBias = c.form().outputBias();
    boolean mlpBias = c.form().mlpBias();
    try (Scope parts = new Scope()) {
      DecoderLayer layer =
          new DecoderLayer(
              index,
              parts.own(weights.norm(at + "input_layernorm.weight", hidden)),
              new LinearGroup(
                  key,
                  List.of(
                      parts.own(weights.linear(self + "q_proj", q, hidden, bias)),
                      parts.own(weights.linear(self + "k_proj", kv, hidden, bias)),
                      parts.own(weights.linear(self + "v_proj", kv, hidden, bias)))),
              headNorm(weights, c, at, parts),
              attention(c, c.form().layers().get(index), rotaries),
              new LinearGroup(
                  key + 1,
                  List.of(parts.own(weights.linear(self + "o_proj", hidden, q, outputBias)))),
              parts.own(weights.norm(at + "post_attention_layernorm.weight", hidden)),
              new LinearGroup(
                  key + 2,
                  List.of(
                      parts.own(weights.linear(mlp + "gate_proj", inner, hidden, mlpBias)),
                      parts.own(weights.linear(mlp + "up_proj", inner, hidden, mlpBias)))),
              new LinearGroup(
                  key + 3,
                  List.of(parts.own(weights.linear(mlp + "down_proj", hidden, inner, mlpBias)))));
      parts.release();
      return layer;
    }
  }

  private static Optional<HeadNorm> headNorm(
      WeightLoader weights, ModelConfig c, String layer, Scope parts) {
    if (!c.form().headNorm()) {
      return Optional.empty();
    }
    RmsNorm query = parts.own(weights.norm(layer + DecoderParameters.Q_NORM, c.headDim()));
    RmsNorm key = parts.own(weights.norm(layer + DecoderParameters.K_NORM, c.headDim()));
    return Optional.of(new HeadNorm(query, key, c.numAttentionHeads(), c.numKeyValueHeads()));
  }

  private static Attention attention(ModelConfig c, LayerAttention layer, Rotaries rotaries) {
    return new Attention(
        c.numAttentionHeads(),
        c.numKeyValueHeads(),
        rotaries.of(layer),
        1 / Math.sqrt(c.headDim()),
        layer.slidingWindow().orElse(Attention.NO_WINDOW));
  }
}
