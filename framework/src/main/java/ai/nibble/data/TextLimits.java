package ai.nibble.data;

import ai.nibble.InvalidInputException;
import ai.nibble.data.regex.Letters;
import java.nio.file.Path;
import java.util.Locale;

/**
 * How long a text may be for a tokenizer, so that its library survives it: how far its normalizer
 * lets a text grow, and how many characters in a row its expressions can go back over ({@link
 * ai.nibble.data.regex.RegexBound}). For published tokenizers runs of more than a million.
 *
 * @param growth characters that the normalizer makes of one, at most
 * @param expansion characters that Unicode's normal forms make of one that is not ASCII, at most
 * @param white most white space in a row
 * @param other most characters in a row without a space, tab or line break
 * @param any most characters of a text
 */
record TextLimits(double growth, int expansion, Run white, Run other, Run any) {
  /** Of a text after it grew: the library holds about a hundred bytes for each. */
  private static final long MOST_CHARACTERS = 1L << 27;

  /**
   * A limit.
   *
   * @param most {@link Integer#MAX_VALUE} where there is none
   * @param pattern whose it is
   */
  record Run(int most, String pattern) {
    static final Run NONE = new Run(Integer.MAX_VALUE, "");

    Run or(int limit, String of) {
      return limit < most ? new Run(limit, of) : this;
    }
  }

  static final TextLimits NONE = new TextLimits(1, 1, Run.NONE, Run.NONE, Run.NONE);

  /** With the limit of one more expression. */
  TextLimits with(Letters letters, int run, String pattern) {
    return switch (letters) {
      case WHITE -> new TextLimits(growth, expansion, white.or(run, pattern), other, any);
      case OTHER -> new TextLimits(growth, expansion, white, other.or(run, pattern), any);
      case ANY -> new TextLimits(growth, expansion, white, other, any.or(run, pattern));
    };
  }

  /**
   * @throws InvalidInputException where the text is beyond a limit
   */
  void require(Path path, String text) {
    if (text.length() * growth > MOST_CHARACTERS) {
      throw new InvalidInputException(
          path
              + ": a text of "
              + text.length()
              + " characters"
              + (growth > 1 ? ", which the normalizer may make " + times() + " as long," : "")
              + " is more than the tokenizer library can hold ("
              + MOST_CHARACTERS
              + "): part it");
    }
    long least = Math.min(Math.min(white.most(), other.most()), any.most());
    if ((long) text.length() * expansion > least) {
      measure(path, text);
    }
  }

  private String times() {
    return String.format(Locale.ROOT, "%.3g times", growth);
  }

  private void measure(Path path, String text) {
    long whole = 0;
    long inWhite = 0;
    long inOther = 0;
    for (int i = 0; i < text.length(); i++) {
      char c = text.charAt(i);
      int weight = c < 128 ? 1 : expansion;
      whole += weight;
      inWhite = Letters.isWhite(c) ? inWhite + weight : 0;
      inOther = c == ' ' || c == '\t' || c == '\n' || c == '\r' ? 0 : inOther + weight;
      if (inWhite > white.most()) {
        throw tooLong(path, "white space in a row", white);
      } else if (inOther > other.most()) {
        throw tooLong(path, "characters in a row without a space or line break", other);
      }
    }
    if (whole > any.most()) {
      throw tooLong(path, "characters", any);
    }
  }

  private InvalidInputException tooLong(Path path, String what, Run limit) {
    return new InvalidInputException(
        "the text has more than "
            + limit.most() / expansion
            + " "
            + what
            + ", which the pattern '"
            + JsonFiles.shown(limit.pattern())
            + "' of "
            + path
            + " cannot go through in bounded time: part the text there");
  }
}
