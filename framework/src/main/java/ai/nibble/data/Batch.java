package ai.nibble.data;

import java.util.List;

/**
 * A micro-batch without padding: its sequences back to back.
 *
 * @param inputIds {@code [tokens]}
 * @param labels {@code [tokens]}, aligned with {@code inputIds}; {@link Example#IGNORED} carries no
 *     loss
 * @param sequenceStarts {@code [sequences + 1]}: where each sequence begins, first 0, and the
 *     number of tokens as the last
 */
public record Batch(int[] inputIds, int[] labels, int[] sequenceStarts) {
  public Batch {
    int n = sequenceStarts.length;
    if (inputIds.length != labels.length
        || n < 2
        || sequenceStarts[0] != 0
        || sequenceStarts[n - 1] != inputIds.length) {
      throw new IllegalArgumentException(
          inputIds.length + " ids, " + labels.length + " labels, " + n + " sequence starts");
    }
    for (int i = 1; i < n; i++) {
      if (sequenceStarts[i] <= sequenceStarts[i - 1]) {
        throw new IllegalArgumentException("sequence " + i + " is empty or out of order");
      }
    }
  }

  /** The examples in this order. */
  public static Batch of(List<Example> examples) {
    int[] starts = new int[examples.size() + 1];
    for (int i = 0; i < examples.size(); i++) {
      starts[i + 1] = Math.addExact(starts[i], examples.get(i).length());
    }
    int[] ids = new int[starts[examples.size()]];
    int[] labels = new int[ids.length];
    for (int i = 0; i < examples.size(); i++) {
      Example example = examples.get(i);
      System.arraycopy(example.inputIds(), 0, ids, starts[i], example.length());
      System.arraycopy(example.labels(), 0, labels, starts[i], example.length());
    }
    return new Batch(ids, labels, starts);
  }

  /** Number of tokens of all sequences. */
  public int tokens() {
    return inputIds.length;
  }

  /** Number of sequences. */
  public int sequences() {
    return sequenceStarts.length - 1;
  }

  /**
   * Tokens that carry loss: labels other than {@link Example#IGNORED}, except at a sequence's first
   * position, since the label at position t is predicted from t − 1.
   */
  public int lossTokens() {
    int count = 0;
    for (int s = 0; s < sequences(); s++) {
      for (int i = sequenceStarts[s] + 1; i < sequenceStarts[s + 1]; i++) {
        count += labels[i] == Example.IGNORED ? 0 : 1;
      }
    }
    return count;
  }
}
