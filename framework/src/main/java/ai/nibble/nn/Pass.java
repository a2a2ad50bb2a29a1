package ai.nibble.nn;

import java.util.Arrays;
import java.util.List;

/**
 * One forward pass over a micro-batch: where its sequences lie and what its dropout is keyed by.
 *
 * @param sequenceStarts first token of each sequence, then the number of tokens; starts with 0
 * @param training whether dropout is on
 * @param dropoutKey with the layer and the element it decides what is dropped, so that computing a
 *     layer a second time drops the same
 * @param caches empty, or in generation one for each sequence: what came before the pass, which
 *     adds to each
 */
public record Pass(int[] sequenceStarts, boolean training, long dropoutKey, List<KvCache> caches) {
  public Pass {
    caches = List.copyOf(caches);
    for (int i = 1; i < sequenceStarts.length; i++) {
      if (sequenceStarts[i] <= sequenceStarts[i - 1]) {
        throw new IllegalArgumentException(
            "sequence starts must ascend: " + Arrays.toString(sequenceStarts));
      }
    }
    if (sequenceStarts.length < 2 || sequenceStarts[0] != 0) {
      throw new IllegalArgumentException(
          "sequence starts must begin with 0 and end with the number of tokens: "
              + Arrays.toString(sequenceStarts));
    }
    if (!caches.isEmpty() && caches.size() != sequenceStarts.length - 1) {
      throw new IllegalArgumentException(
          caches.size() + " caches for " + (sequenceStarts.length - 1) + " sequences");
    }
  }

  /** A pass over whole sequences. */
  public Pass(int[] sequenceStarts, boolean training, long dropoutKey) {
    this(sequenceStarts, training, dropoutKey, List.of());
  }

  /**
   * A pass of generation, without dropout: keys and values are read from caches and added there.
   */
  public static Pass cached(List<KvCache> caches, int... sequenceStarts) {
    return new Pass(sequenceStarts, false, 0, caches);
  }

  /** A pass without dropout. */
  public static Pass evaluating(int... sequenceStarts) {
    return new Pass(sequenceStarts, false, 0);
  }

  /** Each token's position in its sequence. */
  public int[] positions() {
    int[] positions = new int[tokens()];
    for (int s = 0; s < sequences(); s++) {
      for (int t = sequenceStarts[s]; t < sequenceStarts[s + 1]; t++) {
        positions[t] = t - sequenceStarts[s];
      }
    }
    return positions;
  }

  public int tokens() {
    return sequenceStarts[sequenceStarts.length - 1];
  }

  public int sequences() {
    return sequenceStarts.length - 1;
  }
}
