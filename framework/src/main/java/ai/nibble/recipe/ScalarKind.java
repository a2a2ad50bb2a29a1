package ai.nibble.recipe;

import java.util.Set;
import java.util.regex.Pattern;

/**
 * What an unquoted value is: YAML 1.2's core schema, and apart from it the spellings that YAML 1.1
 * readers understand differently, which are never guessed at.
 */
enum ScalarKind {
  NULL("empty"),
  BOOLEAN("a boolean"),
  WHOLE("a number"),
  REAL("a number"),
  /** {@code yes}, {@code no}, {@code on}, {@code off}: booleans of YAML 1.1 only. */
  OLD_BOOLEAN("a boolean for some YAML readers"),
  /** {@code 010}, {@code 1_000}, {@code 0x1F}: numbers whose value depends on the reader. */
  OLD_NUMBER("a different number for different YAML readers"),
  TEXT("text");

  private static final Set<String> NULLS = Set.of("", "~", "null", "Null", "NULL");
  private static final Set<String> BOOLEANS =
      Set.of("true", "True", "TRUE", "false", "False", "FALSE");
  private static final Pattern OLD_BOOLEANS =
      Pattern.compile("yes|Yes|YES|no|No|NO|on|On|ON|off|Off|OFF|y|Y|n|N");
  private static final Pattern WHOLE_NUMBER = Pattern.compile("[-+]?(?:0|[1-9][0-9]*)");
  private static final Pattern REAL_NUMBER =
      Pattern.compile(
          "[-+]?(?:\\.[0-9]+|(?:0|[1-9][0-9]*)(?:\\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
              + "|[-+]?\\.(?:inf|Inf|INF)|\\.(?:nan|NaN|NAN)");
  private static final Pattern OLD_NUMBERS =
      Pattern.compile(
          "[-+]?0[0-9]+(?:\\.[0-9]*)?(?:[eE][-+]?[0-9]+)?|[-+]?0[xX][0-9a-fA-F_]+|[-+]?0[oO][0-7_]+"
              + "|[-+]?0[bB][01_]+|[-+]?[0-9][0-9_]*_[0-9_]*(?:\\.[0-9_]*)?(?:[eE][-+]?[0-9]+)?");

  /** Longer values are text: no number needs more, and matching stays cheap. */
  private static final int LONGEST_NUMBER = 400;

  private final String words;

  ScalarKind(String words) {
    this.words = words;
  }

  /** For messages. */
  String words() {
    return words;
  }

  boolean isNumber() {
    return this == WHOLE || this == REAL;
  }

  static ScalarKind of(String plain) {
    if (NULLS.contains(plain)) {
      return NULL;
    }
    if (BOOLEANS.contains(plain)) {
      return BOOLEAN;
    }
    if (plain.length() > LONGEST_NUMBER) {
      return TEXT;
    }
    if (WHOLE_NUMBER.matcher(plain).matches()) {
      return WHOLE;
    }
    if (REAL_NUMBER.matcher(plain).matches()) {
      return REAL;
    }
    if (OLD_BOOLEANS.matcher(plain).matches()) {
      return OLD_BOOLEAN;
    }
    return OLD_NUMBERS.matcher(plain).matches() ? OLD_NUMBER : TEXT;
  }
}
