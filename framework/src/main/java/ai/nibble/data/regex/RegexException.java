package ai.nibble.data.regex;

/** An expression that is refused; the message says what is wrong, to stand behind its quotation. */
public final class RegexException extends Exception {
  private static final long serialVersionUID = 1;

  /** What is wrong. */
  public RegexException(String message) {
    super(message);
  }
}
