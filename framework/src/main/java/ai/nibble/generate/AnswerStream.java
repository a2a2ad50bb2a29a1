package ai.nibble.generate;

import ai.nibble.data.Tokenizer;
import java.util.Iterator;
import java.util.NoSuchElementException;

/**
 * The text of one answer, in pieces that are computed when they are asked for: each as soon as it
 * is certain, none empty. Close it to give its memory back before the answer is complete; {@link
 * #cancel} may come from any thread, all else from one.
 */
public final class AnswerStream implements Iterator<String>, AutoCloseable {
  private final TokenStream tokens;
  private final AnswerText text;
  private String next = "";
  private boolean ended;

  /**
   * @param tokens taken over
   * @param stops those of the settings that the tokens came by
   */
  public AnswerStream(TokenStream tokens, Tokenizer tokenizer, StopStrings stops) {
    this.tokens = tokens;
    this.text = new AnswerText(tokenizer, stops);
  }

  /** Computes tokens until some text is certain; false where the answer is complete. */
  @Override
  public boolean hasNext() {
    while (next.isEmpty() && tokens.hasNext()) {
      next = text.accept(tokens.nextInt());
    }
    if (next.isEmpty() && !ended) {
      ended = true;
      next = text.end();
    }
    return !next.isEmpty();
  }

  @Override
  public String next() {
    if (!hasNext()) {
      throw new NoSuchElementException();
    }
    String piece = next;
    next = "";
    return piece;
  }

  /** Ends the answer before its next token. */
  public void cancel() {
    tokens.cancel();
  }

  /** The tokens so far; the reason to finish is null while there may be more. */
  public Completion completion() {
    return tokens.completion();
  }

  @Override
  public void close() {
    tokens.close();
  }
}
