package ai.nibble.nn;

import ai.nibble.autograd.Earlier;
import ai.nibble.autograd.Tape;
import ai.nibble.autograd.Variable;
import ai.nibble.nn.HeadLayout.Part;
import ai.nibble.tensor.Tensor;
import java.util.stream.IntStream;

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
    return apply(tape, qkv, pass, precision, Earlier.NONE);
  }

  /** As {@link #apply(Tape, Variable, Pass, Precision)}, perhaps with the output of before. */
  public Variable apply(Tape tape, Variable qkv, Pass pass, Precision precision, Earlier earlier) {
    return tape.apply(new AttentionFunction(this, pass, precision, earlier), qkv);
  }

  /**
   * As {@link #apply}, with the keys and values of the pass's caches before those of {@code qkv},
   * which join them. Inference only.
   *
   * @param layer which of the caches' layers this is
   * @throws IllegalStateException if the tape records, a cache has no room, or sequences that have
   *     begun get more than one token
   */
  public Variable applyCached(
      Tape tape, Variable qkv, Pass pass, int layer, Precision precision, Workspace workspace) {
    if (tape.isRecording()) {
      throw new IllegalStateException("attention to a cache has no gradient");
    }
    for (int s = 0; s < pass.sequences(); s++) {
      pass.caches().get(s).requireRoom(length(pass, s));
    }
    if (pass.tokens() == pass.sequences()) {
      return tape.apply(new CachedAttention(this, pass, layer, precision, workspace), qkv);
    }
    fillCaches(qkv.value(), pass, layer);
    return apply(tape, qkv, pass, precision);
  }

  private static int length(Pass pass, int sequence) {
    return pass.sequenceStarts()[sequence + 1] - pass.sequenceStarts()[sequence];
  }

  private void fillCaches(Tensor qkv, Pass pass, int layer) {
    for (int s = 0; s < pass.sequences(); s++) {
      KvCache cache = pass.caches().get(s);
      if (cache.length() > 0) {
        throw new IllegalStateException(
            "a sequence of " + cache.length() + " tokens gets more than one at once");
      }
      int tokens = length(pass, s);
      rotary.cover(cache.capacity());
      HeadLayout layout = new HeadLayout(this, IntStream.range(0, tokens).toArray());
      try (Tensor own = qkv.narrow(0, pass.sequenceStarts()[s], tokens);
          Tensor keys = cache.keys(layer, tokens);
          Tensor values = cache.values(layer, tokens)) {
        layout.gather(Part.KEY, own, keys);
        layout.gather(Part.VALUE, own, values);
      }
    }
  }
}
