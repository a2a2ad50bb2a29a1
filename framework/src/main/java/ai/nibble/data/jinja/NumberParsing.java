package ai.nibble.data.jinja;

import java.math.BigDecimal;
import java.math.BigInteger;
import java.math.RoundingMode;
import java.util.regex.Pattern;

/** Numbers from text and rounding, as Jinja's {@code int}, {@code float} and {@code round} do. */
final class NumberParsing {
  private static final Pattern FLOAT =
      Pattern.compile("[-+]?(\\d+(_\\d+)*\\.?(\\d+(_\\d+)*)?|\\.\\d+(_\\d+)*)([eE][-+]?\\d{1,9})?");
  private static final Pattern SPECIAL =
      Pattern.compile("([-+]?)(inf|infinity|nan)", Pattern.CASE_INSENSITIVE);
  private static final int MAX_DIGITS = 1000;

  private NumberParsing() {}

  /** An int from a number or text, the fallback where it is none. */
  static Object toInt(Object value, Object fallback, int base) {
    if (value instanceof Undefined undefined) {
      throw undefined.error();
    }
    if (value instanceof Double number) {
      return number.isNaN() || number.isInfinite() ? fallback : truncated(number);
    }
    if (Arithmetic.isInteger(value)) {
      return Values.integer(Arithmetic.toBig(value));
    }
    if (!(value instanceof Str str)) {
      return fallback;
    }
    String text = StringMethods.strip(str, Arguments.NONE, true, true).text();
    if (text.length() > MAX_DIGITS) {
      return fallback;
    }
    Object parsed = parse(text, base);
    if (parsed != null) {
      return parsed;
    }
    Object number = toFloat(value, null);
    boolean finite = number instanceof Double d && !d.isNaN() && !d.isInfinite();
    return finite ? truncated((Double) number) : fallback;
  }

  private static Object truncated(double number) {
    return Values.integer(new BigDecimal(number).toBigInteger());
  }

  private static Object parse(String text, int base) {
    if (base != 0 && (base < 2 || base > 36)) {
      throw new TemplateError("int() base must be >= 2 and <= 36, or 0");
    }
    boolean signed = text.startsWith("-") || text.startsWith("+");
    String digits = signed ? text.substring(1) : text;
    int radix = base;
    for (Object[] prefix : new Object[][] {{"0x", 16}, {"0o", 8}, {"0b", 2}}) {
      boolean matches = digits.regionMatches(true, 0, (String) prefix[0], 0, 2);
      if (matches && (base == (int) prefix[1] || base == 0)) {
        digits = digits.substring(2);
        radix = (int) prefix[1];
      }
    }
    String plain = digits.replace("_", "");
    boolean placed = !digits.startsWith("_") && !digits.endsWith("_") && !digits.contains("__");
    if (plain.isEmpty() || !placed || "+-".indexOf(plain.charAt(0)) >= 0) {
      return null;
    }
    try {
      BigInteger number = new BigInteger(plain, radix == 0 ? 10 : radix);
      return Values.integer(text.startsWith("-") ? number.negate() : number);
    } catch (NumberFormatException e) {
      return null;
    }
  }

  /** A float from a number or text, the fallback where it is none. */
  static Object toFloat(Object value, Object fallback) {
    if (value instanceof Undefined undefined) {
      throw undefined.error();
    }
    if (Arithmetic.isNumber(value)) {
      return Arithmetic.toDouble(value);
    }
    if (!(value instanceof Str str)) {
      return fallback;
    }
    String text = StringMethods.strip(str, Arguments.NONE, true, true).text();
    var special = SPECIAL.matcher(text);
    if (special.matches()) {
      double size =
          special.group(2).toLowerCase(java.util.Locale.ROOT).equals("nan") ? Double.NaN : 1 / 0.0;
      return special.group(1).equals("-") ? -size : size;
    }
    boolean isFloat = text.length() <= MAX_DIGITS && FLOAT.matcher(text).matches();
    return isFloat ? (Object) Double.parseDouble(text.replace("_", "")) : fallback;
  }

  /** {@code common} keeps ints and rounds floats half to even, as Python does. */
  static Object round(Object value, int precision, String method) {
    if (!method.equals("common") && !method.equals("ceil") && !method.equals("floor")) {
      throw new TemplateError("method must be common, ceil or floor");
    }
    if (method.equals("common")) {
      if (Arithmetic.isInteger(value) && precision >= 0) {
        return Values.integer(Arithmetic.toBig(value));
      }
      double number = Arithmetic.toDouble(value);
      if (Double.isNaN(number) || Double.isInfinite(number) || precision > 400) {
        return number;
      }
      BigDecimal rounded =
          new BigDecimal(number).setScale(Math.max(precision, -400), RoundingMode.HALF_EVEN);
      boolean isInt = Arithmetic.isInteger(value);
      return isInt
          ? Values.integer(rounded.toBigInteger())
          : (Object) Math.copySign(rounded.doubleValue(), number);
    }
    double scale = Math.pow(10, precision);
    double scaled = Arithmetic.toDouble(value) * scale;
    return (method.equals("ceil") ? Math.ceil(scaled) : Math.floor(scaled)) / scale;
  }
}
