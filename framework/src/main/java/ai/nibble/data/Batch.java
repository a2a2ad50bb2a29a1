package ai.nibble.data;

import java.util.Arrays;
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
   * Positions whose next token carries loss, ascending. The label at t is predicted from t − 1 of
   * the same sequence, so labels at a sequence's first position are never used.
   */
  public int[] lossPositions() {
    int[] positions = new int[tokens()];
    int n = 0;
    for (int s = 0; s < sequences(); s++) {
      for (int t = sequenceStarts[s] + 1; t < sequenceStarts[s + 1]; t++) {
        if (labels[t] != Example.IGNORED) {
          positions[n++] = t - 1;
        }
      }
    }
    return Arrays.copyOf(positions, n);
  }

  /** The tokens that {@link #lossPositions} predict. */
  public int[] targets() {
    int[] targets = lossPositions();
    for (int i = 0; i < targets.length; i++) {
      targets[i] = labels[targets[i] + 1];
    }
    return targets;
  }

  /** Number of tokens that carry loss. */
  public int lossTokens() {
    return lossPositions().length;
  }
}
