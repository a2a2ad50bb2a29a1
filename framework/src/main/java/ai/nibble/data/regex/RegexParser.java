package ai.nibble.data.regex;

import java.util.ArrayList;
import java.util.List;

/**
 * Reads the part of Oniguruma's syntax (Ruby's) that published tokenizers use: characters, classes,
 * groups, choices, repetitions, places, and looking ahead and behind. All else is refused, so that
 * nothing is read here in another way than by the engine.
 */
final class RegexParser {
  private static final int MAX_DEPTH = 16;
  private static final int MAX_COUNT = 1000;
  private static final String PLACES = "bBAzZ";
  private static final String CONTROL = "rntfvae";

  private final String pattern;
  private int at;
  private int depth;
  private boolean caseless;

  private RegexParser(String pattern) {
    this.pattern = pattern;
  }

  static RegexNode parse(String pattern) throws RegexException {
    RegexParser parser = new RegexParser(pattern);
    RegexNode whole = parser.choice();
    if (parser.at < pattern.length()) {
      throw new RegexException("closes a group that is not open");
    }
    return whole;
  }

  private boolean sees(char c) {
    return at < pattern.length() && pattern.charAt(at) == c;
  }

  private boolean takes(String text) {
    boolean there = pattern.startsWith(text, at);
    at += there ? text.length() : 0;
    return there;
  }

  private RegexException unknown(int from) {
    String found = pattern.substring(from, Math.min(pattern.length(), from + 8));
    return new RegexException("has '" + found + "' at " + from + ", which is not supported");
  }

  private RegexNode choice() throws RegexException {
    List<RegexNode> branches = new ArrayList<>();
    branches.add(sequence());
    while (takes("|")) {
      branches.add(sequence());
    }
    return branches.size() == 1 ? branches.get(0) : new RegexNode.Choice(List.copyOf(branches));
  }

  private RegexNode sequence() throws RegexException {
    List<RegexNode> parts = new ArrayList<>();
    while (at < pattern.length() && !sees('|') && !sees(')')) {
      int from = at;
      parts.add(repeated(part(), from));
    }
    return parts.size() == 1 ? parts.get(0) : new RegexNode.Sequence(List.copyOf(parts));
  }

  private RegexNode part() throws RegexException {
    int from = at;
    int c = pattern.codePointAt(at);
    at += Character.charCount(c);
    return switch (c) {
      case '(' -> group();
      case '[' -> letter(from, new ClassReader(this).read());
      case '.' -> letter(from, Letters.ANY);
      case '^', '$' -> new RegexNode.Place(Character.toString(c));
      case '\\' -> {
        if (at < pattern.length() && PLACES.indexOf(pattern.charAt(at)) >= 0) {
          at++;
          yield new RegexNode.Place(pattern.substring(from, at));
        }
        Letters letters = escape().letters();
        yield letter(from, letters);
      }
      case '*', '+', '?', '{' -> throw unknown(from);
      default -> letter(from, Letters.isWhite(c) ? Letters.WHITE : Letters.OTHER);
    };
  }

  private RegexNode letter(int from, Letters letters) {
    return new RegexNode.Letter(pattern.substring(from, at), letters, caseless);
  }

  private RegexNode group() throws RegexException {
    int from = at - 1;
    if (++depth > MAX_DEPTH) {
      throw new RegexException("nests groups deeper than " + MAX_DEPTH);
    }
    boolean outer = caseless;
    RegexNode node;
    if (takes("?i:")) {
      caseless = true;
      node = choice();
    } else if (takes("?=") || takes("?!")) {
      boolean negative = pattern.charAt(at - 1) == '!';
      node = new RegexNode.Look(choice(), negative);
    } else if (takes("?<=") || takes("?<!")) {
      boolean negative = pattern.charAt(at - 1) == '!';
      node = new RegexNode.Look(bounded(choice()), negative);
    } else if (takes("?>")) {
      node = new RegexNode.Atomic(choice());
    } else if (takes("?:") || !sees('?') && !sees('*')) {
      node = choice();
    } else {
      throw unknown(from);
    }
    caseless = outer;
    depth--;
    if (!takes(")")) {
      throw new RegexException("opens a group at " + from + " that does not end");
    }
    return node;
  }

  private static RegexNode bounded(RegexNode behind) throws RegexException {
    if (RegexCost.hasUnbounded(behind)) {
      throw new RegexException("looks behind itself without end");
    }
    return behind;
  }

  private RegexNode repeated(RegexNode body, int from) throws RegexException {
    int begin = at;
    int min;
    int max = Integer.MAX_VALUE;
    boolean counted = false;
    if (takes("*")) {
      min = 0;
    } else if (takes("+")) {
      min = 1;
    } else if (takes("?")) {
      min = 0;
      max = 1;
    } else if (takes("{")) {
      int[] counts = counts(begin);
      min = counts[0];
      max = counts[1];
      counted = true;
    } else {
      return body;
    }
    // what follows a count is another repetition in this syntax, unless lazy
    boolean possessive = !counted && takes("+");
    if (!possessive && !(counted && min == max)) {
      takes("?");
    }
    if (sees('*') || sees('+') || sees('?') || sees('{')) {
      throw new RegexException("repeats a repetition at " + begin);
    }
    if (body instanceof RegexNode.Place || body instanceof RegexNode.Look) {
      throw new RegexException("repeats a place at " + from);
    }
    if (max > 1 && body.minLength() == 0) {
      throw new RegexException("repeats what may be empty, at " + from);
    }
    if (caseless && max > 1 && !counted) {
      throw new RegexException("repeats letters of either case without end, at " + from);
    }
    return new RegexNode.Repeat(body, min, max, possessive);
  }

  /** {@code n}, {@code n,}, {@code n,m} or {@code ,m} and the bracket. */
  private int[] counts(int begin) throws RegexException {
    int end = pattern.indexOf('}', at);
    String text = end < 0 ? "" : pattern.substring(at, end);
    if (!text.matches("\\d{1,4}|\\d{1,4},\\d{0,4}|,\\d{1,4}")) {
      throw unknown(begin);
    }
    at = end + 1;
    int comma = text.indexOf(',');
    String first = comma < 0 ? text : text.substring(0, comma);
    String last = comma < 0 ? text : text.substring(comma + 1);
    int min = first.isEmpty() ? 0 : Integer.parseInt(first);
    int max = last.isEmpty() ? Integer.MAX_VALUE : Integer.parseInt(last);
    if (min > MAX_COUNT || max != Integer.MAX_VALUE && max > MAX_COUNT || max < min || max == 0) {
      throw new RegexException(
          "repeats {" + text + "} times, expected rising counts of at most " + MAX_COUNT);
    }
    return new int[] {min, max};
  }

  /**
   * One character that is written with a backslash, which was read.
   *
   * @param code of the character; −1 where it is a class
   */
  record Escape(Letters letters, int code, boolean holdsAllWhite) {}

  Escape escape() throws RegexException {
    int from = at - 1;
    if (at >= pattern.length()) {
      throw unknown(from);
    }
    char c = pattern.charAt(at++);
    if (c == 'p' || c == 'P') {
      return new Escape(property(from, c == 'P'), -1, false);
    }
    if (c == 'x' || c == 'u') {
      int code = number(from, c);
      return new Escape(Letters.isWhite(code) ? Letters.WHITE : Letters.OTHER, code, false);
    }
    if (CONTROL.indexOf(c) >= 0) {
      int code = "\r\n\t\f\u000b\u0007\u001b".charAt(CONTROL.indexOf(c));
      return new Escape(Letters.isWhite(code) ? Letters.WHITE : Letters.OTHER, code, false);
    }
    return switch (c) {
      case 's' -> new Escape(Letters.WHITE, -1, true);
      case 'S', 'w', 'd' -> new Escape(Letters.OTHER, -1, false);
      case 'W', 'D' -> new Escape(Letters.ANY, -1, true);
      default -> {
        if (c < 128 && Character.isLetterOrDigit(c) || Character.isSurrogate(c)) {
          throw unknown(from);
        }
        yield new Escape(Letters.isWhite(c) ? Letters.WHITE : Letters.OTHER, c, false);
      }
    };
  }

  /** Names whose characters are surely no white space. */
  private static final String VISIBLE =
      "(?i)L[ultmo]?|Letter|N[dlo]?|M[nce]?|P[cdseifo]?|S[mcko]?|Alpha|Alnum|Digit|Upper|Lower|Punct"
          + "|Han|Hiragana|Katakana|Hangul|Latin|Cyrillic|Greek|Arabic|Hebrew|Thai|Devanagari";

  private Letters property(int from, boolean negated) throws RegexException {
    int end = pattern.indexOf('}', at);
    if (!sees('{') || end < 0) {
      throw unknown(from);
    }
    String name = pattern.substring(at + 1, end);
    at = end + 1;
    if (!name.matches("\\^?[A-Za-z][A-Za-z_ ]{0,40}")) {
      throw unknown(from);
    }
    boolean inverted = negated ^ name.startsWith("^");
    return !inverted && name.matches(VISIBLE) ? Letters.OTHER : Letters.ANY;
  }

  private int number(int from, char kind) throws RegexException {
    int end;
    String digits;
    if (kind == 'x' && sees('{')) {
      end = pattern.indexOf('}', at);
      digits = end < 0 ? "" : pattern.substring(at + 1, end);
      end++;
    } else {
      end = Math.min(pattern.length(), at + (kind == 'x' ? 2 : 4));
      digits = pattern.substring(at, end);
      if (digits.length() != (kind == 'x' ? 2 : 4)) {
        throw unknown(from);
      }
    }
    if (!digits.matches("[0-9A-Fa-f]{1,6}")) {
      throw unknown(from);
    }
    at = end;
    int code = Integer.parseInt(digits, 16);
    if (kind == 'x' && digits.length() == 2 && code > 127 || code > Character.MAX_CODE_POINT) {
      throw unknown(from); // a byte, not a character
    }
    return code;
  }

  String pattern() {
    return pattern;
  }

  int at() {
    return at;
  }

  void at(int next) {
    at = next;
  }
}
