package ai.nibble.data;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * One training row: a sequence of tokens, or two answers to one prompt that are compared.
 *
 * @param inputIds {@code [tokens]}; of a pair the chosen sequence and behind it the rejected one,
 *     each with the prompt
 * @param labels {@code [tokens]}, aligned with {@code inputIds} (the model shifts): the id where
 *     the token carries loss, {@link #IGNORED} elsewhere
 * @param kind what the row says of its sequences
 * @param second where the second sequence begins; the number of tokens where there is one only
 * @param reference log-probabilities of the sequences' tokens with loss, summed, by the model that
 *     training began with: one a sequence; empty where they are not known
 */
public record Example(int[] inputIds, int[] labels, Kind kind, int second, double[] reference) {
  /** The label of a token without loss, as PyTorch's cross-entropy ignores it. */
  public static final int IGNORED = -100;

  private static final double[] UNKNOWN = {};

  /** What a row says of its sequences. */
  public enum Kind {
    /** One sequence, to be learned as it stands. */
    PLAIN,
    /** Two sequences: an answer, and one that is worse. */
    PAIR,
    /** One sequence, whose answer is good. */
    DESIRABLE,
    /** One sequence, whose answer is bad. */
    UNDESIRABLE
  }

  public Example {
    boolean pair = kind == Kind.PAIR;
    boolean parted = pair ? second > 0 && second < inputIds.length : second == inputIds.length;
    if (inputIds.length != labels.length
        || inputIds.length == 0
        || !parted
        || reference.length != 0 && reference.length != (pair ? 2 : 1)) {
      throw new IllegalArgumentException(
          kind
              + ": "
              + inputIds.length
              + " ids, "
              + labels.length
              + " labels, the second sequence at "
              + second
              + ", "
              + reference.length
              + " reference values");
    }
  }

  /** One sequence, to be learned as it stands. */
  public Example(int[] inputIds, int[] labels) {
    this(inputIds, labels, Kind.PLAIN, inputIds.length, UNKNOWN);
  }

  /** Two answers to one prompt. */
  public static Example pair(Example chosen, Example rejected) {
    return new Example(
        joined(chosen.inputIds, rejected.inputIds),
        joined(chosen.labels, rejected.labels),
        Kind.PAIR,
        chosen.length(),
        UNKNOWN);
  }

  private static int[] joined(int[] a, int[] b) {
    int[] all = Arrays.copyOf(a, Math.addExact(a.length, b.length));
    System.arraycopy(b, 0, all, a.length, b.length);
    return all;
  }

  /** An answer that somebody liked, or did not. */
  public static Example judged(Example answer, boolean desirable) {
    Kind kind = desirable ? Kind.DESIRABLE : Kind.UNDESIRABLE;
    return new Example(answer.inputIds, answer.labels, kind, answer.length(), UNKNOWN);
  }

  /** The same with what the first model thinks of it. */
  public Example withReference(double[] logProbs) {
    return new Example(inputIds, labels, kind, second, logProbs.clone());
  }

  /** Number of tokens, of both sequences of a pair. */
  public int length() {
    return inputIds.length;
  }

  /** Its sequences, each a row of its own: of a pair the chosen one, then the rejected one. */
  public List<Example> sequences() {
    List<Example> sequences = new ArrayList<>(List.of(part(0, second)));
    if (kind == Kind.PAIR) {
      sequences.add(part(second, length()));
    }
    return sequences;
  }

  private Example part(int begin, int end) {
    return new Example(
        Arrays.copyOfRange(inputIds, begin, end), Arrays.copyOfRange(labels, begin, end));
  }

  /** Tokens of the longest sequence. */
  int longest() {
    return Math.max(second, length() - second);
  }

  /** Tokens that carry loss; a sequence's first never does, as nothing comes before it. */
  public int lossTokens() {
    return lossTokens(0, second) + lossTokens(second, length());
  }

  private int lossTokens(int begin, int end) {
    int count = 0;
    for (int i = begin + 1; i < end; i++) {
      count += labels[i] == IGNORED ? 0 : 1;
    }
    return count;
  }

  /** Whether there is something to learn in each of its sequences. */
  boolean carriesLoss() {
    return lossTokens(0, second) > 0 && (kind != Kind.PAIR || lossTokens(second, length()) > 0);
  }

  /** Whether it is a pair of two answers that are the same, of which nothing can be learned. */
  boolean isAlike() {
    return kind == Kind.PAIR
        && Arrays.equals(inputIds, 0, second, inputIds, second, length())
        && Arrays.equals(labels, 0, second, labels, second, length());
  }

  /** The first {@code length} tokens of each sequence. */
  Example truncated(int length) {
    if (kind == Kind.PAIR) {
      List<Example> both = sequences();
      return pair(both.get(0).cut(length), both.get(1).cut(length));
    }
    Example cut = cut(length);
    return new Example(cut.inputIds, cut.labels, kind, cut.length(), UNKNOWN);
  }

  private Example cut(int length) {
    int kept = Math.min(length, length());
    return new Example(Arrays.copyOf(inputIds, kept), Arrays.copyOf(labels, kept));
  }
}
