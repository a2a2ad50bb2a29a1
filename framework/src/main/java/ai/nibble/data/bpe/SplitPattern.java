package ai.nibble.data.bpe;

import java.util.function.Consumer;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * How text is split into words, which no token crosses. Digits stand alone in both, so that numbers
 * are copied digit by digit.
 *
 * <p>A closed set and not any expression: each must mean the same to Java's engine, which trains,
 * and to Oniguruma, which splits when the tokenizer is used.
 */
public enum SplitPattern {
  /** Qwen 2's: a word keeps the space before it. */
  QWEN2(
      "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}"
          + "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"),

  /**
   * Spaces stand alone: a name has the same tokens behind a space, a quotation mark and a bracket.
   * More tokens a text, but what a small model copies from prose into JSON it copies token by
   * token.
   */
  WORDS("\\p{N}|[\\p{L}\\p{M}]+|\\s+|[^\\s\\p{L}\\p{M}\\p{N}]+");

  private final String regex;
  private final Pattern pattern;

  SplitPattern(String regex) {
    this.regex = regex;
    // Oniguruma's \s is Unicode's white space, too.
    this.pattern = Pattern.compile(regex, Pattern.UNICODE_CHARACTER_CLASS);
  }

  /** As {@code tokenizer.json} has it. */
  public String regex() {
    return regex;
  }

  /** Gives every word of the text in turn; together they are the text. */
  void split(String text, Consumer<String> word) {
    Matcher matcher = pattern.matcher(text);
    while (matcher.find()) {
      word.accept(matcher.group());
    }
  }
}
