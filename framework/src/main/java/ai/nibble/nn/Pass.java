package ai.nibble.nn;

import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;

/**
 * One forward pass over a micro-batch: where its sequences lie and what its dropout is keyed by.
 *
 * @param sequenceStarts first token of each sequence, then the number of tokens; starts with 0
 * @param training whether dropout is on
 * @param dropoutKey with the layer and the element it decides what is dropped, so that computing a
 *     layer a second time drops the same
 * @param caches empty, or in generation one for each sequence: what came before the pass, which
 *     adds to each
 * @param trunks empty, or for each sequence the one that it goes on from, else {@link #NO_TRUNK}: a
 *     branch's tokens see all of its trunk and their own branch, and not the other branches. Its
 *     branches stand right behind a trunk
 * @param embeddingNoise in training, alpha of {@link EmbeddingNoise}; 0: none
 */
public record Pass(
    int[] sequenceStarts,
    boolean training,
    long dropoutKey,
    List<KvCache> caches,
    int[] trunks,
    double embeddingNoise) {
  /** What a sequence has that begins by itself. */
  public static final int NO_TRUNK = -1;

  private static final int[] NO_BRANCHES = {};

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
    requireTrunks(trunks, sequenceStarts.length - 1, caches.isEmpty());
  }

  private static void requireTrunks(int[] trunks, int sequences, boolean noCaches) {
    boolean sound = trunks.length == 0 || (trunks.length == sequences && noCaches);
    int last = NO_TRUNK; // the sequence that branches may go on from
    for (int s = 0; s < trunks.length && sound; s++) {
      last = trunks[s] == NO_TRUNK ? s : last;
      sound = trunks[s] == NO_TRUNK || (trunks[s] == last && last != NO_TRUNK);
    }
    if (!sound) {
      throw new IllegalArgumentException(
          "branches must stand right behind their trunk, without caches: "
              + Arrays.toString(trunks));
    }
  }

  /** A pass over whole sequences. */
  public Pass(int[] sequenceStarts, boolean training, long dropoutKey) {
    this(sequenceStarts, training, dropoutKey, List.of(), NO_BRANCHES, 0);
  }

  /**
   * A pass of generation, without dropout: keys and values are read from caches and added there.
   */
  public static Pass cached(List<KvCache> caches, int... sequenceStarts) {
    return new Pass(sequenceStarts, false, 0, caches, NO_BRANCHES, 0);
  }

  /** A pass without dropout. */
  public static Pass evaluating(int... sequenceStarts) {
    return new Pass(sequenceStarts, false, 0);
  }

  /**
   * A pass without dropout over sequences of which some go on from others, so that what several
   * share is computed once.
   *
   * @param trunks as {@link #trunks}
   */
  public static Pass branching(int[] sequenceStarts, int[] trunks) {
    return new Pass(sequenceStarts, false, 0, List.of(), trunks, 0);
  }

  /** The same with noise on the embeddings, if it is of training. */
  public Pass withEmbeddingNoise(double alpha) {
    return new Pass(sequenceStarts, training, dropoutKey, caches, trunks, alpha);
  }

  /** Each token's position in its sequence; a branch's go on from its trunk's. */
  public int[] positions() {
    int[] positions = new int[tokens()];
    for (int s = 0; s < sequences(); s++) {
      int before = trunk(s) == s ? 0 : length(trunk(s));
      for (int t = sequenceStarts[s]; t < sequenceStarts[s + 1]; t++) {
        positions[t] = before + t - sequenceStarts[s];
      }
    }
    return positions;
  }

  /** The sequence that a sequence goes on from, or itself. */
  int trunk(int sequence) {
    return trunks.length == 0 || trunks[sequence] == NO_TRUNK ? sequence : trunks[sequence];
  }

  private int length(int sequence) {
    return sequenceStarts[sequence + 1] - sequenceStarts[sequence];
  }

  /** First tokens of the sequences that begin by themselves, then the number of tokens. */
  int[] treeStarts() {
    IntStream roots = IntStream.range(0, sequences()).filter(s -> trunk(s) == s);
    return IntStream.concat(roots.map(s -> sequenceStarts[s]), IntStream.of(tokens())).toArray();
  }

  public int tokens() {
    return sequenceStarts[sequenceStarts.length - 1];
  }

  public int sequences() {
    return sequenceStarts.length - 1;
  }
}
