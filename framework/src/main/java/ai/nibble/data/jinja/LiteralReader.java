package ai.nibble.data.jinja;

import java.math.BigInteger;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Reads the numbers and quoted strings of a template, with Python's escapes. */
final class LiteralReader {
  private static final Pattern FLOAT =
      Pattern.compile(
          "(\\d+_)*+\\d++((\\.(\\d+_)*+\\d++)?[eE][-+]?(\\d+_)*+\\d++|\\.(\\d+_)*+\\d++)");
  private static final Pattern INTEGER =
      Pattern.compile(
          "0[bB](_?[01])++|0[oO](_?[0-7])++|0[xX](_?[0-9a-fA-F])++|[1-9](_?\\d)*+|0(_?0)*+");
  private static final int MAX_DIGITS = 1000;

  private LiteralReader() {}

  static int numberEnd(String source, int from, boolean integerOnly) {
    int limit = Math.min(source.length(), from + MAX_DIGITS);
    Matcher number = FLOAT.matcher(source).region(from, limit);
    if (!integerOnly && number.lookingAt()) {
      return number.end();
    }
    number = INTEGER.matcher(source).region(from, limit);
    return number.lookingAt() ? number.end() : from + 1;
  }

  static Object number(String text, int line) {
    String digits = text.replace("_", "");
    if (digits.length() >= MAX_DIGITS) {
      throw new TemplateError("a number has more than " + MAX_DIGITS + " digits", line);
    }
    String lower = digits.toLowerCase(java.util.Locale.ROOT);
    if (lower.startsWith("0x")) {
      return Values.integer(new BigInteger(lower.substring(2), 16));
    }
    if (lower.startsWith("0o") || lower.startsWith("0b")) {
      return Values.integer(new BigInteger(lower.substring(2), lower.charAt(1) == 'o' ? 8 : 2));
    }
    boolean isFloat = lower.indexOf('.') >= 0 || lower.indexOf('e') >= 0;
    return isFloat ? (Object) Double.parseDouble(lower) : Values.integer(new BigInteger(lower));
  }

  /** The index behind the closing quote. */
  static int stringEnd(String source, int from, int line) {
    char quote = source.charAt(from);
    for (int i = from + 1; i < source.length(); i++) {
      char c = source.charAt(i);
      if (c == '\\') {
        i++;
      } else if (c == quote) {
        return i + 1;
      }
    }
    throw new TemplateError("unexpected char " + quote + ": the string is not closed", line);
  }

  static String unescape(String raw, int line) {
    if (raw.indexOf('\\') < 0) {
      return raw;
    }
    StringBuilder out = new StringBuilder(raw.length());
    for (int i = 0; i < raw.length(); i++) {
      char c = raw.charAt(i);
      if (c != '\\') {
        out.append(c);
        continue;
      }
      i++;
      char escaped = raw.charAt(i);
      switch (escaped) {
        case '\n' -> {}
        case 'n' -> out.append('\n');
        case 't' -> out.append('\t');
        case 'r' -> out.append('\r');
        case 'a' -> out.append('\u0007');
        case 'b' -> out.append('\b');
        case 'f' -> out.append('\f');
        case 'v' -> out.append('\u000b');
        case '\\', '\'', '"' -> out.append(escaped);
        case 'x' -> i = hex(raw, i, 2, out, line);
        case 'u' -> i = hex(raw, i, 4, out, line);
        case 'U' -> i = hex(raw, i, 8, out, line);
        case 'N' -> throw new TemplateError("\\N escapes are not supported in strings", line);
        default -> {
          if (escaped >= '0' && escaped <= '7') {
            i = octal(raw, i, out);
          } else {
            out.append('\\').append(escaped);
          }
        }
      }
    }
    return out.toString();
  }

  private static int hex(String raw, int at, int digits, StringBuilder out, int line) {
    int end = at + 1 + digits;
    if (end > raw.length() || !raw.substring(at + 1, end).matches("[0-9a-fA-F]+")) {
      throw new TemplateError("truncated \\" + raw.charAt(at) + " escape in a string", line);
    }
    long code = Long.parseLong(raw.substring(at + 1, end), 16);
    if (code > Character.MAX_CODE_POINT) {
      throw new TemplateError("illegal Unicode character in a string", line);
    }
    out.appendCodePoint((int) code);
    return end - 1;
  }

  private static int octal(String raw, int at, StringBuilder out) {
    int end = at;
    int code = 0;
    while (end < raw.length() && end < at + 3 && raw.charAt(end) >= '0' && raw.charAt(end) <= '7') {
      code = 8 * code + raw.charAt(end++) - '0';
    }
    out.append((char) code);
    return end - 1;
  }
}
