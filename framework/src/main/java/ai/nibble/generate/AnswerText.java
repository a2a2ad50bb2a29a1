package ai.nibble.generate;

import ai.nibble.data.Tokenizer;

/**
 * An answer's text as its tokens come, up to a stop string. Text that may turn out to begin one is
 * held back until it is certain that it does not.
 */
public final class AnswerText {
  private final TextStream stream;
  private final StopStrings stops;
  private final StringBuilder held = new StringBuilder();
  private boolean stopped;

  /**
   * @param tokenizer stays the caller's
   */
  public AnswerText(Tokenizer tokenizer, StopStrings stops) {
    this.stream = new TextStream(tokenizer);
    this.stops = stops;
  }

  /** The text that is certain once this token is there; often empty. */
  public String accept(int token) {
    return stopped ? "" : release(stream.accept(token), false);
  }

  /** What is left when no token follows. */
  public String end() {
    return stopped ? "" : release(stream.end(), true);
  }

  /** Whether a stop string has come; nothing follows it. */
  public boolean isStopped() {
    return stopped;
  }

  private String release(String piece, boolean all) {
    held.append(piece);
    int stop = stops.find(held);
    stopped = stop >= 0;
    int certain = stopped ? stop : all ? held.length() : held.length() - stops.begun(held);
    String text = held.substring(0, certain);
    held.delete(0, certain);
    return text;
  }

  /** The text of a whole answer. */
  public static String of(Tokenizer tokenizer, StopStrings stops, int[] tokens) {
    String text = TextStream.text(tokenizer, tokens);
    int stop = stops.find(text);
    return stop < 0 ? text : text.substring(0, stop);
  }
}
