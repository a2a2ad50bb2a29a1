package ai.nibble.data.regex;

/** Reads a class in brackets, of which the first was read. */
final class ClassReader {
  private static final int MAX_DEPTH = 4;

  private final RegexParser parser;
  private final String pattern;
  private int depth;

  ClassReader(RegexParser parser) {
    this.parser = parser;
    this.pattern = parser.pattern();
  }

  /**
   * What the items so far match.
   *
   * @param letters null where there are none yet
   * @param allWhite whether every white character is among them
   */
  private record Items(Letters letters, boolean allWhite) {
    static final Items NONE = new Items(null, false);

    Items or(Letters other, boolean white) {
      return new Items(letters == null ? other : letters.or(other), allWhite || white);
    }

    Items and(Items other) {
      return new Items(letters.and(other.letters), allWhite && other.allWhite);
    }
  }

  /** The kind of what the class matches. */
  Letters read() throws RegexException {
    return items().letters();
  }

  private char peek() throws RegexException {
    if (parser.at() >= pattern.length()) {
      throw new RegexException("opens a class that does not end");
    }
    return pattern.charAt(parser.at());
  }

  private int next() throws RegexException {
    peek();
    int c = pattern.codePointAt(parser.at());
    parser.at(parser.at() + Character.charCount(c));
    return c;
  }

  private Items items() throws RegexException {
    int from = parser.at() - 1;
    if (++depth > MAX_DEPTH) {
      throw new RegexException("nests classes deeper than " + MAX_DEPTH);
    }
    boolean negated = peek() == '^';
    if (negated) {
      next();
    }
    Items all = null;
    Items part = Items.NONE;
    while (peek() != ']') {
      if (pattern.startsWith("&&", parser.at())) {
        if (part == Items.NONE) {
          throw new RegexException("intersects with nothing in a class, at " + parser.at());
        }
        parser.at(parser.at() + 2);
        all = all == null ? part : all.and(part);
        part = Items.NONE;
      } else {
        part = item(part);
      }
    }
    next();
    depth--;
    if (part == Items.NONE) {
      throw new RegexException("has an empty class at " + from);
    }
    Items whole = all == null ? part : all.and(part);
    if (negated) {
      return new Items(whole.allWhite() ? Letters.OTHER : Letters.ANY, false);
    }
    return whole;
  }

  private Items item(Items before) throws RegexException {
    int c = next();
    if (c == '[') {
      if (peek() == ':') {
        throw new RegexException("has '[" + peek() + "' in a class, which is not supported");
      }
      Items inner = items();
      return before.or(inner.letters(), inner.allWhite());
    }
    int first = c;
    if (c == '\\') {
      if (peek() == 'b') {
        next(); // a backspace
        return before.or(Letters.OTHER, false);
      }
      RegexParser.Escape escape = parser.escape();
      if (escape.code() < 0) {
        return before.or(escape.letters(), escape.holdsAllWhite());
      }
      first = escape.code();
    }
    boolean ranges =
        peek() == '-'
            && parser.at() + 1 < pattern.length()
            && pattern.charAt(parser.at() + 1) != ']'
            && pattern.charAt(parser.at() + 1) != '[';
    return ranges ? before.or(range(first), false) : before.or(kind(first), false);
  }

  private static Letters kind(int code) {
    return Letters.isWhite(code) ? Letters.WHITE : Letters.OTHER;
  }

  private Letters range(int first) throws RegexException {
    next();
    int last = next();
    if (last == '\\') {
      last = parser.escape().code();
    }
    if (last < first) {
      throw new RegexException("has a range in a class that does not rise");
    }
    boolean white = false;
    boolean other = false;
    // beyond these there is no white space
    for (int code = first; code <= Math.min(last, 0x3001); code++) {
      white |= Letters.isWhite(code);
      other |= !Letters.isWhite(code);
    }
    other |= last > 0x3001;
    return white && other ? Letters.ANY : white ? Letters.WHITE : Letters.OTHER;
  }
}
