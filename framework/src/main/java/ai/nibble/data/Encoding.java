package ai.nibble.data;

/**
 * A tokenised text.
 *
 * @param ids {@code [tokens]}, never changed after it is made
 * @param starts {@code [tokens]}, where each token begins in the text, as a Java string index
 * @param ends {@code [tokens]}, where it ends, exclusive; tokens that share one character (bytes of
 *     an emoji) share its range
 */
public record Encoding(int[] ids, int[] starts, int[] ends) {
  public Encoding {
    if (starts.length != ids.length || ends.length != ids.length) {
      throw new IllegalArgumentException(
          ids.length + " ids, " + starts.length + " starts, " + ends.length + " ends");
    }
  }

  /** Number of tokens. */
  public int length() {
    return ids.length;
  }
}
