package ai.nibble.nn;

import ai.nibble.autograd.Tape;
import ai.nibble.autograd.Variable;

/**
 * Causal grouped-query attention with rotary positions (Vaswani et al. 2017; Ainslie et al. 2023).
 *
 * @param heads query heads
 * @param keyValueHeads divides heads; each serves {@code heads / keyValueHeads} query heads
 * @param rotary positions count from the start of each sequence
 * @param scale of the scores, usually {@code 1/√headDim}
 */
public record Attention(int heads, int keyValueHeads, RotaryTable rotary, double scale) {
  public Attention {
    if (heads < 1 || keyValueHeads < 1 || heads % keyValueHeads != 0) {
      throw new IllegalArgumentException(
          keyValueHeads + " key/value heads for " + heads + " query heads");
    }
  }

  public int headDim() {
    return rotary.headDim();
  }

  /** Query heads that share a key/value head. */
  int group() {
    return heads / keyValueHeads;
  }

  /**
   * @param qkv {@code [N, (heads + 2·keyValueHeads)·headDim]}: queries, keys, values side by side
   * @return {@code [N, heads·headDim]}
   */
  public Variable apply(Tape tape, Variable qkv, Pass pass, Precision precision) {
    return tape.apply(new AttentionFunction(this, pass, precision), qkv);
  }
}
