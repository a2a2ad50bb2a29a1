package ai.nibble.nn;

import java.util.ArrayList;
import java.util.List;

/**
 * Tokens {@code [begin, end)} whose attention is computed together: one long sequence, or several
 * short ones, between which a mask keeps them apart. Products over a few tokens each would cost
 * more in calls than in arithmetic.
 */
record AttentionSpan(int begin, int end) {

  /**
   * Cuts a pass between sequences.
   *
   * @param sequenceStarts as {@link Pass#treeStarts}: a trunk and its branches stay together
   * @param maxTokens a span of more than one sequence has at most so many
   */
  static List<AttentionSpan> of(int[] sequenceStarts, int maxTokens) {
    List<AttentionSpan> spans = new ArrayList<>();
    int begin = 0;
    for (int s = 1; s < sequenceStarts.length; s++) {
      boolean last = s == sequenceStarts.length - 1;
      if (last || sequenceStarts[s + 1] - begin > maxTokens) {
        spans.add(new AttentionSpan(begin, sequenceStarts[s]));
        begin = sequenceStarts[s];
      }
    }
    return spans;
  }

  int tokens() {
    return end - begin;
  }

  /**
   * The span's query tokens in blocks; a block meets the keys from the span's first to its own
   * last, so what causality masks is mostly never computed.
   *
   * @param tokens of a block; the last may have fewer
   */
  List<AttentionSpan> blocks(int tokens) {
    List<AttentionSpan> blocks = new ArrayList<>();
    for (int from = begin; from < end; from += tokens) {
      blocks.add(new AttentionSpan(from, Math.min(end, from + tokens)));
    }
    return blocks;
  }
}
