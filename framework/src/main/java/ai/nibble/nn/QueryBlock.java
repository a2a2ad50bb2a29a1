package ai.nibble.nn;

import ai.nibble.tensor.FusedAttention.Sequences;
import java.util.ArrayList;
import java.util.List;

/**
 * Queries whose products with keys are made together, as {@link ProductAttention} goes over those
 * of a pass: some tokens of one long sequence, or several short ones. They meet the keys from the
 * first to the last that any of them sees, so that little is computed that causality or a window
 * masks.
 *
 * @param first query
 * @param tokens queries of each head
 * @param firstKey first key that one of them sees
 * @param keys from there to the last that one of them sees
 */
record QueryBlock(int first, int tokens, int firstKey, int keys) {
  /** Enough rows for the products, few enough that half of them is little to mask. */
  private static final int TOKENS = 512;

  /** Bytes of a block's scores, of which backward has two at a time. */
  private static final long MAX_SCORE_BYTES = 128 << 20;

  /** Fewest tokens, however many keys they meet. */
  private static final int MIN_TOKENS = 16;

  /**
   * Cuts the queries of a pass.
   *
   * @param window above 0: a query sees the last so many of its keys
   * @param bytesAScore of all heads
   */
  static List<QueryBlock> of(Sequences queries, Sequences keys, int window, long bytesAScore) {
    return of(queries.offsets(), keys.offsets(), window, bytesAScore, TOKENS, MAX_SCORE_BYTES);
  }

  /** The same with sequences by their offsets. */
  static List<QueryBlock> of(int[] queries, int[] keys, int window, long bytesAScore) {
    return of(queries, keys, window, bytesAScore, TOKENS, MAX_SCORE_BYTES);
  }

  /**
   * The same.
   *
   * @param most tokens of a block, and keys of several sequences in one
   * @param maxBytes of its scores
   */
  static List<QueryBlock> of(
      int[] queries, int[] keys, int window, long bytesAScore, int most, long maxBytes) {
    List<QueryBlock> blocks = new ArrayList<>();
    int begin = 0;
    for (int s = 1; s < queries.length; s++) {
      boolean last = s == queries.length - 1;
      if (last || keys[s + 1] - keys[begin] > most) {
        long bytesAToken = bytesAScore * (keys[s] - keys[begin]);
        int tokens = (int) Math.min(most, Math.max(MIN_TOKENS, maxBytes / bytesAToken));
        for (int t = queries[begin]; t < queries[s]; t += tokens) {
          int end = Math.min(queries[s], t + tokens);
          int firstKey = firstSeen(queries, keys, window, t);
          blocks.add(new QueryBlock(t, end - t, firstKey, end(queries, keys, end - 1) - firstKey));
        }
        begin = s;
      }
    }
    return blocks;
  }

  /** Behind the last key that a query sees. */
  private static int end(int[] queries, int[] keys, int query) {
    int s = sequence(queries, query);
    return keys[s + 1] - (queries[s + 1] - 1 - query);
  }

  private static int firstSeen(int[] queries, int[] keys, int window, int query) {
    int begin = keys[sequence(queries, query)];
    return window == Attention.NO_WINDOW
        ? begin
        : Math.max(begin, end(queries, keys, query) - window);
  }

  private static int sequence(int[] queries, int query) {
    int s = 0;
    while (queries[s + 1] <= query) {
      s++;
    }
    return s;
  }

  /** Elements of the largest block's scores of a key head. */
  static long largest(List<QueryBlock> blocks, int group) {
    return blocks.stream().mapToLong(b -> (long) b.tokens * group * b.keys).max().orElse(0);
  }

  /** Keys of the block that has the most. */
  static int mostKeys(List<QueryBlock> blocks) {
    return blocks.stream().mapToInt(QueryBlock::keys).max().orElse(0);
  }
}
