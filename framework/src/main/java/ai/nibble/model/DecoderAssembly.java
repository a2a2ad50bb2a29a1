package ai.nibble.model;

import ai.nibble.model.DecoderForm.ExpertsForm;
import ai.nibble.model.DecoderForm.LayerAttention;
import ai.nibble.model.DecoderForm.Norms;
import ai.nibble.model.DecoderForm.Projections;
import ai.nibble.nn.Attention;
import ai.nibble.nn.DenseWeight;
import ai.nibble.nn.HeadNorm;
import ai.nibble.nn.Linear;
import ai.nibble.nn.LinearGroup;
import ai.nibble.nn.RmsNorm;
import ai.nibble.nn.RotaryTable;
import ai.nibble.nn.Weight;
import ai.nibble.tensor.Device;
import ai.nibble.tensor.Scope;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** Assembles a decoder from its tensors, under Hugging Face's names, as its form says. */
final class DecoderAssembly {
  private static final int GROUPS_A_LAYER = 4;

  private static final List<String> ATTENTION =
      List.of("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj");

  private static final List<String> MLP = List.of("mlp.gate_proj", "mlp.up_proj", "mlp.down_proj");

  private static final List<String> FUSED_ATTENTION =
      List.of(DecoderParameters.QKV, "self_attn.o_proj");

  private static final List<String> FUSED_MLP = List.of(DecoderParameters.GATE_UP, "mlp.down_proj");

  private DecoderAssembly() {}

  static CausalLm load(WeightLoader weights, CausalLm.LoadProgress progress) {
    ModelConfig config = weights.config();
    try (Scope parts = new Scope()) {
      weights.parameters().ifPresent(parts::own);
      DenseWeight embedding =
          parts.own(
              weights.dense("model.embed_tokens.weight", config.vocabSize(), config.hiddenSize()));
      Map<Device, Rotaries> rotaries = new HashMap<>(); // kernels read their own device's
      List<DecoderLayer> layers = new ArrayList<>();
      for (int i = 0; i < config.numHiddenLayers(); i++) {
        Device device = weights.placement().of(Placement.layer(i));
        Rotaries there = rotaries.computeIfAbsent(device, d -> new Rotaries(config));
        layers.add(parts.own(layer(weights, config, i, there)));
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
              weights.precision().compute(),
              weights.placement(),
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
    boolean fused = config.form().projections().fused();
    List<String> paths = new ArrayList<>();
    for (int i = 0; i < config.numHiddenLayers(); i++) {
      String at = "model.layers." + i + ".";
      (fused ? FUSED_ATTENTION : ATTENTION).forEach(linear -> paths.add(at + linear));
      Optional<ExpertsForm> experts = config.form().experts(i);
      if (experts.isEmpty()) {
        (fused ? FUSED_MLP : MLP).forEach(linear -> paths.add(at + linear));
        continue;
      }
      ExpertNames names = experts.get().names();
      for (int e = 0; e < experts.get().count(); e++) {
        List.of(names.gate(e), names.up(e), names.down(e)).forEach(l -> paths.add(at + l));
      }
    }
    return paths;
  }

  /**
   * The tables that layers share: of the model's frequencies, of those of layers that slide, and
   * one that turns nothing.
   */
  private static final class Rotaries {
    private final RotaryTable rotating;
    private final RotaryTable sliding;
    private final RotaryTable still;

    Rotaries(ModelConfig config) {
      rotating = table(RotaryFrequencies.of(config), config);
      sliding =
          config
              .form()
              .slidingRope()
              .map(
                  r ->
                      table(
                          RotaryFrequencies.of(config.rotaryDim(), r.theta(), r.scaling()), config))
              .orElse(rotating);
      // without positions: every position is the angle 0, whose rotation leaves all bits as they
      // are
      still = new RotaryTable(new float[config.headDim() / 2], 1);
    }

    RotaryTable of(LayerAttention attention) {
      if (!attention.rotary()) {
        return still;
      }
      return attention.slidingWindow().isPresent() ? sliding : rotating;
    }

    private static RotaryTable table(RotaryFrequencies frequencies, ModelConfig config) {
      float factor = frequencies.attentionScaling();
      float[] inverse = frequencies.inverseFrequencies();
      return config.ropeScaling() instanceof RopeScaling.LongRope scaling
          ? new RotaryTable(
              inverse,
              factor,
              config.headDim(),
              frequencies.longFrequencies().orElseThrow(),
              scaling.originalMaxPositionEmbeddings())
          : new RotaryTable(inverse, factor, config.headDim());
    }
  }

  private static DecoderLayer layer(
      WeightLoader weights, ModelConfig c, int index, Rotaries rotaries) {
    String at = "model.layers." + index + ".";
    String self = at + "self_attn.";
    long hidden = c.hiddenSize();
    long q = (long) c.numAttentionHeads() * c.headDim();
    int key = index * GROUPS_A_LAYER;
    Projections with = c.form().projections();
    try (Scope parts = new Scope()) {
      DecoderLayer layer =
          new DecoderLayer(
              index,
              norms(weights, c, at, parts),
              new LinearGroup(key, qkv(weights, c, at, parts)),
              headNorm(weights, c, at, parts),
              attention(c, c.form().layers().get(index), rotaries),
              new LinearGroup(
                  key + 1,
                  List.of(
                      parts.own(weights.linear(self + "o_proj", hidden, q, with.outputBias())))),
              mlp(weights, c, index, parts));
      parts.release();
      return layer;
    }
  }

  private static List<Linear> qkv(WeightLoader weights, ModelConfig c, String layer, Scope parts) {
    boolean bias = c.form().projections().attentionBias();
    long hidden = c.hiddenSize();
    long q = (long) c.numAttentionHeads() * c.headDim();
    long kv = (long) c.numKeyValueHeads() * c.headDim();
    if (c.form().projections().fused()) {
      String path = layer + DecoderParameters.QKV;
      return List.of(parts.own(weights.linear(path, q + 2 * kv, hidden, bias)));
    }
    String self = layer + "self_attn.";
    return List.of(
        parts.own(weights.linear(self + "q_proj", q, hidden, bias)),
        parts.own(weights.linear(self + "k_proj", kv, hidden, bias)),
        parts.own(weights.linear(self + "v_proj", kv, hidden, bias)));
  }

  private static List<Linear> gateUp(
      WeightLoader weights, ModelConfig c, String layer, Scope parts) {
    boolean bias = c.form().projections().mlpBias();
    long hidden = c.hiddenSize();
    long inner = c.intermediateSize();
    if (c.form().projections().fused()) {
      String path = layer + DecoderParameters.GATE_UP;
      return List.of(parts.own(weights.linear(path, 2 * inner, hidden, bias)));
    }
    return List.of(
        parts.own(weights.linear(layer + "mlp.gate_proj", inner, hidden, bias)),
        parts.own(weights.linear(layer + "mlp.up_proj", inner, hidden, bias)));
  }

  private static Mlp mlp(WeightLoader weights, ModelConfig c, int index, Scope parts) {
    String at = "model.layers." + index + ".";
    Optional<ExpertsForm> experts = c.form().experts(index);
    if (experts.isPresent()) {
      return experts(weights, c, index, experts.get(), parts);
    }
    boolean bias = c.form().projections().mlpBias();
    Linear down =
        parts.own(weights.linear(at + "mlp.down_proj", c.hiddenSize(), c.intermediateSize(), bias));
    int key = index * GROUPS_A_LAYER;
    return new GatedMlp(
        new LinearGroup(key + 2, gateUp(weights, c, at, parts)),
        c.form().activation(),
        new LinearGroup(key + 3, List.of(down)));
  }

  private static Mlp experts(
      WeightLoader weights, ModelConfig c, int layer, ExpertsForm form, Scope parts) {
    String at = "model.layers." + layer + ".";
    ExpertNames names = form.names();
    long hidden = c.hiddenSize();
    long inner = form.intermediateSize();
    // behind the numbers that layers with a single MLP take
    int first = c.numHiddenLayers() * GROUPS_A_LAYER + layer * (2 * form.count() + 1);
    Linear router = parts.own(weights.denseLinear(at + names.router(), form.count(), hidden));
    List<GatedMlp> experts = new ArrayList<>();
    for (int e = 0; e < form.count(); e++) {
      Linear gate = parts.own(weights.linear(at + names.gate(e), inner, hidden, false));
      Linear up = parts.own(weights.linear(at + names.up(e), inner, hidden, false));
      Linear down = parts.own(weights.linear(at + names.down(e), hidden, inner, false));
      experts.add(
          new GatedMlp(
              new LinearGroup(first + 1 + 2 * e, List.of(gate, up)),
              c.form().activation(),
              new LinearGroup(first + 2 + 2 * e, List.of(down))));
    }
    return new ExpertsMlp(form, new LinearGroup(first, List.of(router)), experts);
  }

  private static DecoderLayer.Norms norms(
      WeightLoader weights, ModelConfig c, String layer, Scope parts) {
    Norms norms = c.form().norms();
    return new DecoderLayer.Norms(
        norm(weights, norms.before(), layer + DecoderParameters.INPUT_NORM, parts),
        norm(weights, norms.after(), layer + DecoderParameters.afterAttention(), parts),
        norm(weights, norms.before(), layer + DecoderParameters.beforeMlp(norms), parts),
        norm(weights, norms.after(), layer + DecoderParameters.POST_MLP_NORM, parts));
  }

  private static Optional<RmsNorm> norm(
      WeightLoader weights, boolean present, String name, Scope parts) {
    return present
        ? Optional.of(parts.own(weights.norm(name, weights.config().hiddenSize())))
        : Optional.empty();
  }

  private static Optional<HeadNorm> headNorm(
      WeightLoader weights, ModelConfig c, String layer, Scope parts) {
    if (c.form().norms().heads() == Norms.Heads.NONE) {
      return Optional.empty();
    }
    boolean all = c.form().norms().heads() == Norms.Heads.ALL;
    int queries = c.numAttentionHeads();
    int keys = c.numKeyValueHeads();
    // all heads together are one wide head
    long queryWidth = (long) c.headDim() * (all ? queries : 1);
    long keyWidth = (long) c.headDim() * (all ? keys : 1);
    RmsNorm query = parts.own(weights.norm(layer + DecoderParameters.Q_NORM, queryWidth));
    RmsNorm key = parts.own(weights.norm(layer + DecoderParameters.K_NORM, keyWidth));
    return Optional.of(new HeadNorm(query, key, all ? 1 : queries, all ? 1 : keys));
  }

  private static Attention attention(ModelConfig c, LayerAttention layer, Rotaries rotaries) {
    return new Attention(
        c.numAttentionHeads(),
        c.numKeyValueHeads(),
        rotaries.of(layer),
        c.form().scales().attention().orElse(1 / Math.sqrt(c.headDim())),
        layer.slidingWindow().orElse(Attention.NO_WINDOW),
        c.form().scales().scoreCap().orElse(Attention.NO_CAP));
  }
}
