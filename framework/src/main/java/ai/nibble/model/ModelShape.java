package ai.nibble.model;

import ai.nibble.nn.GroupShape;
import ai.nibble.tensor.DType;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Predicate;
import java.util.function.ToIntFunction;

/**
 * The sizes of a model and what is trained on it, from which the memory of a step follows: what
 * {@link CausalLm} has once it is loaded, known before.
 *
 * @param hidden size of the hidden state
 * @param vocabulary rows of embedding and head
 * @param embedding the dtype that the embedding is held in
 * @param head the dtype that the output head is held in
 * @param embeddingTrained whether the embedding is trained
 * @param headTrained whether the output head is
 * @param trained whether all weights are trained
 */
public record ModelShape(
    int hidden,
    int vocabulary,
    DType embedding,
    DType head,
    boolean embeddingTrained,
    boolean headTrained,
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
    int inner = c.intermediateSize();
    List<LayerShape> layers = new ArrayList<>();
    for (int i = 0; i < c.numHiddenLayers(); i++) {
      boolean fused = c.form().projections().fused();
      boolean attention = c.form().projections().attentionBias();
      boolean output = c.form().projections().outputBias();
      boolean mlp = c.form().projections().mlpBias();
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
              fused
                  ? groups.of(c.hiddenSize(), List.of(2 * inner), mlp, DecoderParameters.GATE_UP)
                  : groups.of(
                      c.hiddenSize(), List.of(inner, inner), mlp, "mlp.gate_proj", "mlp.up_proj"),
              groups.of(inner, List.of(c.hiddenSize()), mlp, "mlp.down_proj")));
    }
    return new ModelShape(
        c.hiddenSize(), c.vocabSize(), held, held, trained, trained, trained, layers);
  }

  /** The same with embedding or head trained beside adapters, in float32. */
  public ModelShape withTrained(boolean embeddingToo, boolean headToo) {
    return new ModelShape(
        hidden,
        vocabulary,
        embeddingToo ? DType.FLOAT32 : embedding,
        headToo ? DType.FLOAT32 : head,
        embeddingTrained || embeddingToo,
        headTrained || headToo,
        trained,
        layers);
  }

  private record Groups(String layer, boolean trained, Linears linears) {
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
