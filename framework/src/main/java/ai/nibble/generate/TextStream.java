package ai.nibble.generate;

import ai.nibble.data.Tokenizer;
import java.util.Arrays;

/**
 * Turns tokens into text as they come. What it gives out, joined, is what decoding all tokens at
 * once gives: a character whose bytes are spread over tokens waits for the last of them, and a
 * token is decoded together with the one before, since some tokenizers write a space only between
 * two. Control tokens have no text.
 */
public final class TextStream {
  private static final char REPLACEMENT = '\uFFFD';

  private final Tokenizer tokenizer;
  private int[] tokens = new int[16];
  private int count;
  private int contextBegin;
  private int shown;

  /**
   * @param tokenizer stays the caller's
   */
  public TextStream(Tokenizer tokenizer) {
    this.tokenizer = tokenizer;
  }

  /** The text that is certain once this token is there; often empty. */
  public String accept(int token) {
    // models have rows for ids that their tokenizer does not have: those have no text either
    if (token >= tokenizer.vocabSize() || tokenizer.isControl(token)) {
      return "";
    }
    if (count == tokens.length) {
      tokens = Arrays.copyOf(tokens, 2 * count);
    }
    tokens[count++] = token;
    String text = text(count);
    // an unfinished character decodes to U+FFFD
    return text.isEmpty() || text.charAt(text.length() - 1) == REPLACEMENT ? "" : show(text);
  }

  /** What is left when no token follows: at most an unfinished character, as U+FFFD. */
  public String end() {
    return count == shown ? "" : show(text(count));
  }

  private String show(String text) {
    String before = text(shown);
    contextBegin = shown;
    shown = count;
    return text.substring(before.length());
  }

  /** Text of the tokens from the context's first on. */
  private String text(int end) {
    return contextBegin == end
        ? ""
        : tokenizer.decode(Arrays.copyOfRange(tokens, contextBegin, end), true);
  }

  /** The text of a whole answer. */
  public static String text(Tokenizer tokenizer, int[] tokens) {
    int known = tokenizer.vocabSize();
    return tokenizer.decode(Arrays.stream(tokens).filter(id -> id < known).toArray(), true);
  }
}
