package ai.nibble.data.jinja;

import java.math.BigDecimal;
import java.math.RoundingMode;

/** The number and padding parts that {@code %} formatting and {@code str.format} share. */
final class NumberFormat {
  private static final int MAX_WIDTH = 10_000;

  private NumberFormat() {}

  /** Digits of a width or precision, bounded. */
  static int size(String digits) {
    int n = digits.isEmpty() ? 0 : digits.length() > 6 ? MAX_WIDTH + 1 : Integer.parseInt(digits);
    if (n > MAX_WIDTH) {
      throw new TemplateError("a format's width or precision exceeds " + MAX_WIDTH);
    }
    return n;
  }

  static String fixed(double value, int precision) {
    if (Double.isNaN(value) || Double.isInfinite(value)) {
      return Printing.floating(value);
    }
    String digits =
        new BigDecimal(value).setScale(precision, RoundingMode.HALF_EVEN).toPlainString();
    boolean negativeZero = !digits.startsWith("-") && (value < 0 || 1 / value < 0);
    return negativeZero ? "-" + digits : digits;
  }

  static String exponent(double value, int precision) {
    return String.format(java.util.Locale.ROOT, "%." + precision + "e", value);
  }

  /** {@code x}, {@code X}, {@code o}, {@code b} or {@code d} of an int. */
  static String radix(Object value, char type) {
    java.math.BigInteger big = Arithmetic.toBig(value);
    return switch (type) {
      case 'x' -> big.toString(16);
      case 'X' -> big.toString(16).toUpperCase(java.util.Locale.ROOT);
      case 'o' -> big.toString(8);
      case 'b' -> big.toString(2);
      default -> big.toString();
    };
  }

  /** Digits with a comma between thousands. */
  static String grouped(String digits) {
    int dot = digits.indexOf('.');
    StringBuilder out = new StringBuilder(digits);
    int first = digits.startsWith("-") ? 1 : 0;
    for (int i = (dot < 0 ? digits.length() : dot) - 3; i > first; i -= 3) {
      out.insert(i, ',');
    }
    return out.toString();
  }

  /**
   * @param align one of {@code < > ^ =}; {@code =} pads behind the sign
   */
  static Str pad(Str text, int width, char align, String fill) {
    int missing = width - text.codePoints();
    if (missing <= 0) {
      return text;
    }
    int sign =
        align == '=' && !text.text().isEmpty() && "+-".indexOf(text.text().charAt(0)) >= 0 ? 1 : 0;
    int left = align == '<' ? 0 : align == '^' ? missing / 2 : missing;
    return new StrBuilder()
        .append(text.slice(0, sign))
        .append(fill.repeat(left))
        .append(text.slice(sign, text.length()))
        .append(fill.repeat(missing - left))
        .build();
  }
}
