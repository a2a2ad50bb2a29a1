package ai.nibble.recipe;

import java.math.BigDecimal;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** An interval of numbers, written {@code (0, 1]}: round brackets leave the end out. */
record Range(double low, boolean lowIn, double high, boolean highIn) {
  private static final Pattern SPELLING =
      Pattern.compile("([\\[(])\\s*(-inf|[-0-9.e]+)\\s*,\\s*(inf|[-0-9.e]+)\\s*([\\])])");

  static Range parse(String text) {
    Matcher m = SPELLING.matcher(text);
    if (!m.matches()) {
      throw new IllegalArgumentException("not an interval: " + text);
    }
    double low = m.group(2).equals("-inf") ? Double.NEGATIVE_INFINITY : number(m.group(2));
    double high = m.group(3).equals("inf") ? Double.POSITIVE_INFINITY : number(m.group(3));
    return new Range(low, m.group(1).equals("["), high, m.group(4).equals("]"));
  }

  private static double number(String text) {
    return Double.parseDouble(text);
  }

  /** False for NaN. */
  boolean contains(double x) {
    return (lowIn ? x >= low : x > low) && (highIn ? x <= high : x < high);
  }

  /** The interval in words after a noun: {@code a number > 0 and <= 1}. */
  String describe(String noun) {
    StringBuilder out = new StringBuilder(noun);
    if (!Double.isInfinite(low)) {
      out.append(lowIn ? " >= " : " > ").append(shown(low));
    }
    if (!Double.isInfinite(high)) {
      out.append(Double.isInfinite(low) ? "" : " and").append(highIn ? " <= " : " < ");
      out.append(shown(high));
    }
    return out.toString();
  }

  /** The shortest spelling that reads back as the same number, plain where that is short. */
  static String shown(double x) {
    BigDecimal exact = new BigDecimal(Double.toString(x)).stripTrailingZeros();
    int exponent = exact.precision() - exact.scale() - 1;
    if (exact.signum() == 0) {
      return "0";
    }
    if (exponent >= -3 && exponent <= 15) {
      return exact.toPlainString();
    }
    BigDecimal mantissa = exact.movePointLeft(exponent).stripTrailingZeros();
    return mantissa.toPlainString() + "e" + exponent;
  }
}
