package ai.nibble.model;

import ai.nibble.model.DecoderForm.ExpertsForm;
import ai.nibble.nn.GroupShape;
import ai.nibble.nn.TableShape;
import ai.nibble.tensor.DType;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.function.IntFunction;
import java.util.function.Predicate;
import java.util.function.ToIntFunction;
import java.util.stream.IntStream;

/**
 * The sizes of a model and what is trained on it, from which the memory of a step follows: what
 * {@link CausalLm} has once it is loaded, known before.
 *
 * @param hidden size of the hidden state
 * @param vocabulary rows of embedding and head
 * @param trained whether all weights are trained
 */
public record ModelShape(
    int hidden,
    int vocabulary,
    TableShape embedding,
    TableShape head,
    boolean trained,
    List<LayerShape> layers) {

  public ModelShape {
    layers = List.copyOf(layers);
  }

  /**
   * What is held and trained, by a linear's module path.
   *
   * @param rank of the adapter on a linear, 0 without
   * @param dropout whether adapters drop
   * @param int8 whether a linear is held in 8 bits
   * @param dora whether adapters scale rows to magnitudes
   */
  public record Linears(
      ToIntFunction<String> rank, boolean dropout, Predicate<String> int8, boolean dora) {
    /** Plain adapters. */
    public Linears(ToIntFunction<String> rank, boolean dropout, Predicate<String> int8) {
      this(rank, dropout, int8, false);
    }
  }

  /**
   * The shape of a model that is not loaded.
   *
   * @param held the dtype of embedding and head
   */
  public static ModelShape of(ModelConfig c, DType held, boolean trained, Linears linears) {
    int q = c.numAttentionHeads() * c.headDim();
    int kv = c.numKeyValueHeads() * c.headDim();
    List<LayerShape> layers = new ArrayList<>();
    for (int i = 0; i < c.numHiddenLayers(); i++) {
      boolean fused = c.form().projections().fused();
      boolean attention = c.form().projections().attentionBias();
      boolean output = c.form().projections().outputBias();
      Groups groups = new Groups("model.layers." + i + ".", trained, linears);
      layers.add(
          new LayerShape(
              c.hiddenSize(),
              c.numAttentionHeads(),
              c.numKeyValueHeads(),
              c.headDim(),
              c.form().layer(i),
              fused
                  ? groups.of(c.hiddenSize(), List.of(q + 2 * kv), attention, DecoderParameters.QKV)
                  : groups.of(
                      c.hiddenSize(),
                      List.of(q, kv, kv),
                      attention,
                      "self_attn.q_proj",
                      "self_attn.k_proj",
                      "self_attn.v_proj"),
              groups.of(q, List.of(c.hiddenSize()), output, "self_attn.o_proj"),
              gateUp(c, i, groups),
              down(c, i, groups)));
    }
    TableShape table = TableShape.of(held, trained);
    TableShape head = table.withCap(c.form().scales().logitCap().isPresent());
    return new ModelShape(c.hiddenSize(), c.vocabSize(), table, head, trained, layers);
  }

  /** The same with an embedding and a head that are held or trained otherwise. */
  public ModelShape withTables(TableShape newEmbedding, TableShape newHead) {
    return new ModelShape(hidden, vocabulary, newEmbedding, newHead, trained, layers);
  }

  /** The same with embedding or head trained beside adapters, in float32. */
  public ModelShape withTrained(boolean embeddingToo, boolean headToo) {
    return withTables(
        embeddingToo ? embedding.trainedWhole() : embedding, headToo ? head.trainedWhole() : head);
  }

  private static GroupShape gateUp(ModelConfig c, int layer, Groups groups) {
    Optional<ExpertsForm> experts = c.form().experts(layer);
    if (experts.isPresent()) {
      int inner = experts.get().intermediateSize();
      ExpertNames names = experts.get().names();
      return groups.widest(
          experts.get().count(),
          e -> groups.of(c.hiddenSize(), List.of(inner, inner), false, names.gate(e), names.up(e)));
    }
    int inner = c.intermediateSize();
    boolean bias = c.form().projections().mlpBias();
    return c.form().projections().fused()
        ? groups.of(c.hiddenSize(), List.of(2 * inner), bias, DecoderParameters.GATE_UP)
        : groups.of(c.hiddenSize(), List.of(inner, inner), bias, "mlp.gate_proj", "mlp.up_proj");
  }

  private static GroupShape down(ModelConfig c, int layer, Groups groups) {
    Optional<ExpertsForm> experts = c.form().experts(layer);
    if (experts.isPresent()) {
      ExpertNames names = experts.get().names();
      int inner = experts.get().intermediateSize();
      return groups.widest(
          experts.get().count(),
          e -> groups.of(inner, List.of(c.hiddenSize()), false, names.down(e)));
    }
    return groups.of(
        c.intermediateSize(),
        List.of(c.hiddenSize()),
        c.form().projections().mlpBias(),
        "mlp.down_proj");
  }

  private record Groups(String layer, boolean trained, Linears linears) {
    /** Of experts' groups, which differ in ranks alone, one of the highest. */
    GroupShape widest(int count, IntFunction<GroupShape> expert) {
      return IntStream.range(0, count)
          .mapToObj(expert)
          .max(Comparator.comparingInt(g -> g.ranks().stream().mapToInt(r -> r).sum()))
          .orElseThrow();
    }

    GroupShape of(int in, List<Integer> out, boolean bias, String... names) {
      List<String> paths = List.of(names).stream().map(name -> layer + name).toList();
      List<Integer> ranks = paths.stream().map(p -> linears.rank.applyAsInt(p)).toList();
      boolean adapted = ranks.stream().anyMatch(r -> r > 0);
      boolean int8 = paths.stream().anyMatch(linears.int8);
      boolean drops = adapted && linears.dropout;
      boolean dora = adapted && linears.dora;
      return new GroupShape(in, out, ranks, drops, trained, int8, dora, bias);
    }
  }
}
