package ai.nibble.data.regex;

/** What kind of characters something matches, as far as it matters for the length of a run. */
public enum Letters {
  /** White space alone. */
  WHITE,

  /** No white space. */
  OTHER,

  ANY;

  /** What either matches. */
  Letters or(Letters other) {
    return this == other ? this : ANY;
  }

  /** What both match; where that is nothing, any of them will do. */
  Letters and(Letters other) {
    return this == ANY ? other : this;
  }

  /** Unicode's white space, and a few more that programs take for it. */
  public static boolean isWhite(int c) {
    return c <= ' ' && (c == ' ' || c >= '\t' && c <= '\r' || c >= 0x1c)
        || c == 0x85
        || c == 0xa0
        || c == 0x1680
        || c >= 0x2000 && c <= 0x200b
        || c == 0x2028
        || c == 0x2029
        || c == 0x202f
        || c == 0x205f
        || c == 0x3000;
  }
}
