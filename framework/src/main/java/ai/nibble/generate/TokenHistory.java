package ai.nibble.generate;

import java.util.Arrays;

/** The tokens of one sequence so far: its prompt, then what was generated. */
public final class TokenHistory {
  private final int sequence;
  private final int promptLength;
  private int[] ids;
  private int length;

  /**
   * @param sequence a number that tells the sequences of one seed apart
   */
  public TokenHistory(int sequence, int[] prompt) {
    this.sequence = sequence;
    this.promptLength = prompt.length;
    this.ids = Arrays.copyOf(prompt, prompt.length + 16);
    this.length = prompt.length;
  }

  /** The number that tells the sequences of one seed apart: a prompt's index among those given. */
  public int sequence() {
    return sequence;
  }

  public int promptLength() {
    return promptLength;
  }

  /** Tokens of prompt and answer. */
  public int length() {
    return length;
  }

  /** Tokens of the answer: the position of the next one in it. */
  public int position() {
    return length - promptLength;
  }

  /**
   * A token.
   *
   * @param index from 0 to below {@link #length}
   */
  public int token(int index) {
    if (index >= length) {
      throw new IndexOutOfBoundsException(index + " of " + length + " tokens");
    }
    return ids[index];
  }

  /** Tokens {@code [begin, end)}. */
  int[] range(int begin, int end) {
    return Arrays.copyOfRange(ids, begin, end);
  }

  void add(int token) {
    if (length == ids.length) {
      ids = Arrays.copyOf(ids, 2 * length);
    }
    ids[length++] = token;
  }
}
