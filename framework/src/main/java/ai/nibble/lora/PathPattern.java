package ai.nibble.lora;

import ai.nibble.InvalidInputException;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.regex.PatternSyntaxException;

/**
 * A regular expression over module paths, in Python's syntax, with a bound on the work of a match.
 *
 * <p>Patterns come from files, so one that backtracks without end ({@code (a|aa)+$}) must be an
 * error in a moment: the text counts how often it is read.
 */
final class PathPattern {
  /** Longest pattern, which bounds the work of compiling it. */
  private static final int MAX_LENGTH = 8192;

  /**
   * Characters read in one match. A pattern with three unbounded repeats needs about n³/6 reads for
   * each of its alternatives to fail on a path of n = 100 characters: the bound leaves room for
   * thirty such alternatives.
   */
  private static final int MAX_READS = 5_000_000;

  private final String place;
  private final String text;
  private final Pattern pattern;

  private PathPattern(String place, String text, Pattern pattern) {
    this.place = place;
    this.text = text;
    this.pattern = pattern;
  }

  /**
   * @param place the key it comes from, for messages
   * @throws InvalidInputException if Python would not accept it, or it is too long or nested
   */
  static PathPattern compile(String place, String text) {
    return compile(place, text, "", "");
  }

  /** The same between two fixed pieces of pattern, as PEFT wraps keys before it compiles them. */
  static PathPattern compile(String place, String text, String before, String after) {
    if (isTooLong(text)) {
      throw new InvalidInputException(
          place
              + ": a regular expression of "
              + text.length()
              + " characters, expected at most "
              + MAX_LENGTH);
    }
    try {
      return new PathPattern(place, text, pattern(before + text + after));
    } catch (PatternSyntaxException e) {
      throw new InvalidInputException(
          place
              + ": '"
              + text
              + "' is no regular expression as Python writes them ("
              + description(e)
              + "): correct it, or list module names",
          e);
    }
  }

  /**
   * What keeps a text from being such a pattern, in a few words; empty where nothing does.
   *
   * @param before as in {@link #compile(String, String, String, String)}
   */
  static Optional<String> flaw(String text, String before, String after) {
    if (isTooLong(text)) {
      return Optional.of("it is longer than " + MAX_LENGTH + " characters");
    }
    try {
      pattern(before + text + after);
      return Optional.empty();
    } catch (PatternSyntaxException e) {
      return Optional.of(description(e));
    }
  }

  private static boolean isTooLong(String text) {
    return text.length() > MAX_LENGTH;
  }

  private static Pattern pattern(String python) {
    return Pattern.compile(new PythonRegex(python).translate());
  }

  private static String description(PatternSyntaxException e) {
    return e.getDescription().lines().findFirst().orElse("");
  }

  /** Whether the whole path matches. */
  boolean matches(String path) {
    return run(path).matches();
  }

  /** The group of that name where the path's beginning matches, otherwise null. */
  String groupOfPrefix(String path, String group) {
    Match match = run(path);
    return match.lookingAt() ? match.matcher.group(PythonRegex.groupName(group)) : null;
  }

  private Match run(String path) {
    return new Match(pattern.matcher(new CountedText(path)));
  }

  /** A match that turns running out of reads into a problem of the pattern. */
  private final class Match {
    private final Matcher matcher;

    private Match(Matcher matcher) {
      this.matcher = matcher;
    }

    boolean matches() {
      try {
        return matcher.matches();
      } catch (OutOfReadsException | StackOverflowError e) {
        throw tooSlow(e);
      }
    }

    boolean lookingAt() {
      try {
        return matcher.lookingAt();
      } catch (OutOfReadsException | StackOverflowError e) {
        throw tooSlow(e);
      }
    }

    private InvalidInputException tooSlow(Throwable e) {
      return new InvalidInputException(
          place
              + ": matching '"
              + text
              + "' against a module path takes more than "
              + MAX_READS
              + " steps: write it without repeats inside repeats, or list module names",
          e);
    }
  }

  private static final class OutOfReadsException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    OutOfReadsException() {
      super("out of reads", null, false, false);
    }
  }

  /** The path, which can be read so often and no oftener. */
  private static final class CountedText implements CharSequence {
    private final String text;
    private int reads;

    CountedText(String text) {
      this.text = text;
    }

    @Override
    public char charAt(int index) {
      if (++reads > MAX_READS) {
        throw new OutOfReadsException();
      }
      return text.charAt(index);
    }

    @Override
    public int length() {
      return text.length();
    }

    @Override
    public CharSequence subSequence(int start, int end) {
      return text.subSequence(start, end);
    }

    @Override
    public String toString() {
      return text;
    }
  }
}
