package ai.nibble.data;

/**
 * One training sequence.
 *
 * @param inputIds {@code [tokens]}
 * @param labels {@code [tokens]}, aligned with {@code inputIds} (the model shifts): the id where
 *     the token carries loss, {@link #IGNORED} elsewhere
 */
public record Example(int[] inputIds, int[] labels) {
  /** The label of a token without loss, as PyTorch's cross-entropy ignores it. */
  public static final int IGNORED = -100;

  public Example {
    if (inputIds.length != labels.length || inputIds.length == 0) {
      throw new IllegalArgumentException(inputIds.length + " ids, " + labels.length + " labels");
    }
  }

  /** Number of tokens. */
  public int length() {
    return inputIds.length;
  }

  /** Tokens that carry loss; the first never does, as nothing comes before it. */
  public int lossTokens() {
    int count = 0;
    for (int i = 1; i < labels.length; i++) {
      count += labels[i] == IGNORED ? 0 : 1;
    }
    return count;
  }

  /** The first {@code length} tokens. */
  Example truncated(int length) {
    return new Example(
        java.util.Arrays.copyOf(inputIds, length), java.util.Arrays.copyOf(labels, length));
  }
}
