package ai.nibble.data.regex;

import ai.nibble.data.regex.RegexNode.Atomic;
import ai.nibble.data.regex.RegexNode.Choice;
import ai.nibble.data.regex.RegexNode.Letter;
import ai.nibble.data.regex.RegexNode.Look;
import ai.nibble.data.regex.RegexNode.Repeat;
import ai.nibble.data.regex.RegexNode.Sequence;
import java.util.EnumSet;
import java.util.List;
import java.util.Set;

/**
 * What an expression can cost on a text.
 *
 * @param minLength characters of its shortest match
 * @param letters what the repetitions match that can be given back, each by itself; empty where
 *     there are none, and so no text that costs much
 * @param longestRun so many of these letters may stand in a row
 */
public record RegexBound(int minLength, Set<Letters> letters, int longestRun) {
  public RegexBound {
    letters = Set.copyOf(letters);
  }

  private static final int MAX_LENGTH = 20_000;

  /**
   * Half of what the engine allows at one place ({@code DEFAULT_RETRY_LIMIT_IN_MATCH}, ten
   * million).
   */
  private static final double MOST_FAILURES = 5_000_000;

  /** Of an expression that any text of ordinary words meets, at each place. */
  private static final double MOST_AT_ONCE = 1000;

  /** Failures per character of a run: 6 for the most costly published expression. */
  private static final double MOST_PER_CHARACTER = 50;

  private static final int A_RUN = 1000;

  /**
   * A run that is given back and then not consumed is gone through again from its next character,
   * and so on: time grows with its square. So many take a second or two.
   */
  private static final int LONGEST_SQUARED = 30_000;

  /**
   * Characters that may be asked for by number at each place of a text. What was taken for nothing
   * is no failure to the engine, but takes its time. Published expressions ask for three.
   */
  private static final int MOST_COUNTED = 256;

  /**
   * Published expressions that are outside of what is provable here, trusted by their exact text:
   * each word of EXAONE's pattern is a letter with its marks, so that its nested repetitions part a
   * text in one way only.
   */
  private static final Set<String> TRUSTED =
      Set.of(
          "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?(?:\\p{L}\\p{M}*(?: \\p{L}\\p{M}*)*)+"
              + "|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]?|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+");

  /**
   * Bounds an expression.
   *
   * @throws RegexException where that cannot be proven, or it costs too much on some text
   */
  public static RegexBound of(String pattern) throws RegexException {
    if (pattern.length() > MAX_LENGTH) {
      throw new RegexException(
          "has " + pattern.length() + " characters, expected at most " + MAX_LENGTH);
    }
    if (pattern.isEmpty()) {
      throw new RegexException("is empty");
    }
    RegexNode whole = RegexParser.parse(pattern);
    long counted = counted(whole);
    if (counted > MOST_COUNTED) {
      throw new RegexException(
          "counts up to " + counted + " characters, expected at most " + MOST_COUNTED);
    }
    if (TRUSTED.contains(pattern)) {
      return new RegexBound(1, Set.of(Letters.ANY), (int) (MOST_FAILURES / 4));
    }
    if (RegexCost.of(whole, 1) > MOST_AT_ONCE
        || RegexCost.of(whole, A_RUN) > MOST_PER_CHARACTER * A_RUN) {
      throw new RegexException(
          "can be tried in too many ways: repetitions that can take the same characters stand in a"
              + " row or in each other");
    }
    Set<Letters> letters = givenBack(whole, true);
    int run = letters.isEmpty() ? Integer.MAX_VALUE : longestRun(whole);
    return new RegexBound(shortest(whole, pattern), letters, run);
  }

  /** Where case is ignored, one character can be three of the expression's: a ligature of ffi. */
  private static int shortest(RegexNode whole, String pattern) {
    int length = whole.minLength();
    return pattern.contains("(?i:") ? length / 3 + (length % 3 == 0 ? 0 : 1) : length;
  }

  /** Characters that the parts with a known number of rounds take at most. */
  private static long counted(RegexNode node) {
    if (node instanceof Sequence sequence) {
      return sequence.parts().stream().mapToLong(RegexBound::counted).sum();
    } else if (node instanceof Choice choice) {
      return choice.branches().stream().mapToLong(RegexBound::counted).max().orElse(0);
    } else if (node instanceof Repeat repeat) {
      int rounds = Math.max(1, repeat.isUnbounded() ? repeat.min() : repeat.max());
      return Math.min(rounds * counted(repeat.body()), Integer.MAX_VALUE);
    } else if (node instanceof Atomic atomic) {
      return counted(atomic.body());
    } else if (node instanceof Look look) {
      return counted(look.body());
    }
    return node instanceof Letter ? 1 : 0;
  }

  private static int longestRun(RegexNode whole) {
    int fits = A_RUN;
    int not = 1 << 24;
    while (not - fits > 1) {
      int middle = (fits + not) >>> 1;
      if (RegexCost.of(whole, middle) <= MOST_FAILURES) {
        fits = middle;
      } else {
        not = middle;
      }
    }
    return isConsumed(whole) ? fits : Math.min(fits, LONGEST_SQUARED);
  }

  /**
   * What repetitions match that are gone back into, each by itself.
   *
   * @param last whether all is matched behind the node
   */
  private static Set<Letters> givenBack(RegexNode node, boolean last) {
    Set<Letters> found = EnumSet.noneOf(Letters.class);
    if (node instanceof Choice choice) {
      choice.branches().forEach(branch -> found.addAll(givenBack(branch, last)));
    } else if (node instanceof Sequence sequence) {
      List<RegexNode> parts = sequence.parts();
      int fallible = RegexCost.lastThatCanFail(parts);
      for (int i = 0; i < parts.size(); i++) {
        found.addAll(givenBack(parts.get(i), last && i >= fallible));
      }
    } else if (node instanceof Repeat repeat) {
      boolean letters = repeat.body() instanceof Letter;
      if (repeat.max() == 1) {
        found.addAll(givenBack(repeat.body(), last));
      } else if (RegexCost.hasUnbounded(repeat) && !(last && letters)) {
        found.add(all(repeat.body()));
      }
    } else if (node instanceof Atomic atomic) {
      found.addAll(givenBack(atomic.body(), false));
    } else if (node instanceof Look look) {
      found.addAll(givenBack(look.body(), false));
    }
    return found;
  }

  /** What a part matches; null where that is no character. */
  private static Letters all(RegexNode node) {
    if (node instanceof Letter letter) {
      return letter.letters();
    }
    List<RegexNode> inner =
        node instanceof Sequence sequence
            ? sequence.parts()
            : node instanceof Choice choice
                ? choice.branches()
                : node instanceof Repeat repeat
                    ? List.of(repeat.body())
                    : node instanceof Atomic atomic ? List.of(atomic.body()) : List.of();
    Letters found = null;
    for (RegexNode each : inner) {
      Letters inEach = all(each);
      found = found == null || inEach == null ? inEach == null ? found : inEach : found.or(inEach);
    }
    return found;
  }

  /**
   * Whether each run that is gone back into is taken as a whole by some branch, at the latest, as
   * {@code \s+} does behind {@code \s*[\r\n]+}.
   */
  private static boolean isConsumed(RegexNode whole) {
    List<RegexNode> branches = whole instanceof Choice choice ? choice.branches() : List.of(whole);
    for (RegexNode branch : branches) {
      List<RegexNode> parts = parts(branch);
      int fallible = RegexCost.lastThatCanFail(parts);
      for (int i = 0; i < parts.size(); i++) {
        boolean back = !givenBack(parts.get(i), i >= fallible).isEmpty();
        if (back && !(parts.get(i) instanceof Repeat r && isTaken(r, branches))) {
          return false;
        }
      }
    }
    return true;
  }

  private static List<RegexNode> parts(RegexNode branch) {
    return branch instanceof Sequence sequence ? sequence.parts() : List.of(branch);
  }

  private static boolean isTaken(Repeat run, List<RegexNode> branches) {
    for (RegexNode branch : branches) {
      List<RegexNode> parts = parts(branch);
      int fallible = RegexCost.lastThatCanFail(parts);
      RegexNode part = fallible < 0 ? null : parts.get(fallible);
      boolean first =
          fallible >= 0 && parts.subList(0, fallible).stream().allMatch(RegexCost::cannotFail);
      if (first
          && part instanceof Repeat repeat
          && repeat.isUnbounded()
          && repeat.min() == 1
          && repeat.body().equals(run.body())) {
        return true;
      }
    }
    return false;
  }
}
