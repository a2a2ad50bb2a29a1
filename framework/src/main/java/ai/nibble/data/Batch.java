package ai.nibble.data;

import ai.nibble.data.Example.Kind;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;

/**
 * A micro-batch without padding: its sequences back to back.
 *
 * @param inputIds {@code [tokens]}
 * @param labels {@code [tokens]}, aligned with {@code inputIds}; {@link Example#IGNORED} carries no
 *     loss
 * @param sequenceStarts {@code [sequences + 1]}: where each sequence begins, first 0, and the
 *     number of tokens as the last
 * @param kinds of the rows that the sequences are of: two of a pair, one of any other
 * @param reference {@code [sequences]}, as {@link Example#reference}; empty where they are not
 *     known
 */
public record Batch(
    int[] inputIds, int[] labels, int[] sequenceStarts, List<Kind> kinds, double[] reference) {
  private static final double[] UNKNOWN = {};

  public Batch {
    kinds = List.copyOf(kinds);
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
    if (kinds.size() + Collections.frequency(kinds, Kind.PAIR) != n - 1
        || reference.length != 0 && reference.length != n - 1) {
      throw new IllegalArgumentException(
          kinds + " of " + (n - 1) + " sequences, " + reference.length + " reference values");
    }
  }

  /** Sequences to be learned as they stand. */
  public Batch(int[] inputIds, int[] labels, int[] sequenceStarts) {
    this(
        inputIds,
        labels,
        sequenceStarts,
        Collections.nCopies(sequenceStarts.length - 1, Kind.PLAIN),
        UNKNOWN);
  }

  /** The examples in this order. */
  public static Batch of(List<Example> examples) {
    List<Kind> kinds = examples.stream().map(Example::kind).toList();
    int[] starts = new int[kinds.size() + Collections.frequency(kinds, Kind.PAIR) + 1];
    int sequences = 0;
    for (Example example : examples) {
      int begin = starts[sequences];
      if (example.kind() == Kind.PAIR) {
        starts[++sequences] = Math.addExact(begin, example.second());
      }
      starts[++sequences] = Math.addExact(begin, example.length());
    }
    int[] ids = new int[starts[sequences]];
    int[] labels = new int[ids.length];
    int at = 0;
    for (Example example : examples) {
      System.arraycopy(example.inputIds(), 0, ids, at, example.length());
      System.arraycopy(example.labels(), 0, labels, at, example.length());
      at += example.length();
    }
    boolean known = examples.stream().allMatch(example -> example.reference().length > 0);
    double[] reference =
        known
            ? examples.stream().flatMapToDouble(e -> Arrays.stream(e.reference())).toArray()
            : UNKNOWN;
    return new Batch(ids, labels, starts, kinds, reference);
  }

  /** Number of rows: a pair is one. */
  public int rows() {
    return kinds.size();
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
