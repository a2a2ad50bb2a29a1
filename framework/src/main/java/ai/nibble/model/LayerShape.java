package ai.nibble.model;

import ai.nibble.nn.Attention;
import ai.nibble.nn.Extent;
import ai.nibble.nn.GroupShape;
import java.util.List;
import java.util.Optional;

/**
 * The sizes of a {@link DecoderLayer}, from which its memory follows.
 *
 * @param hidden size of the hidden state
 * @param heads query heads
 * @param keyValueHeads heads of keys and of values
 * @param headDim elements of a head
 * @param form how it computes, of one layer alone
 */
public record LayerShape(
    int hidden,
    int heads,
    int keyValueHeads,
    int headDim,
    DecoderForm form,
    GroupShape qkv,
    GroupShape output,
    GroupShape gateUp,
    GroupShape down) {
  /** The one layer's experts, of which {@code gateUp} and {@code down} are one's. */
  Optional<DecoderForm.ExpertsForm> experts() {
    return form.experts(0);
  }

  List<GroupShape> groups() {
    return List.of(qkv, output, gateUp, down);
  }

  /** Bytes of its weights as products take them, as {@link CausalLm#keepDequantized} keeps them. */
  public long dequantizedBytes(Extent extent) {
    long mlps = experts().map(DecoderForm.ExpertsForm::count).orElse(1);
    long mlp = gateUp.keptBytes(extent) + down.keptBytes(extent);
    return qkv.keptBytes(extent) + output.keptBytes(extent) + mlps * mlp;
  }

  boolean headNorm() {
    return form.norms().heads() != DecoderForm.Norms.Heads.NONE;
  }

  /** The sizes of attention. */
  Attention.Shape attention() {
    return new Attention.Shape(
        heads,
        keyValueHeads,
        headDim,
        form.layers().get(0).slidingWindow().orElse(Attention.NO_WINDOW),
        form.scales().scoreCap().isPresent());
  }

  /** Features between the projections of the MLP. */
  int intermediate() {
    return down.in();
  }
}
