package ai.nibble.quant.stored;

import java.math.BigDecimal;
import java.math.MathContext;

/** Numbers as Python writes them. */
final class PythonFloat {
  /** From this decimal exponent down Python writes an exponent, and from the other one up. */
  private static final int LEAST_EXPONENT = -5;

  private static final int GREATEST_EXPONENT = 16;

  private PythonFloat() {}

  /**
   * {@code repr} of a finite float: the shortest decimal that reads back as the same double, in
   * digits where its exponent is from −4 to 15, else as {@code 1e-05}.
   */
  static String repr(double value) {
    if (value == 0) {
      return 1 / value < 0 ? "-0.0" : "0.0";
    }
    BigDecimal shortest = shortest(value).stripTrailingZeros();
    int exponent = shortest.precision() - shortest.scale() - 1;
    if (exponent > LEAST_EXPONENT && exponent < GREATEST_EXPONENT) {
      String digits = shortest.toPlainString();
      return digits.contains(".") ? digits : digits + ".0";
    }
    String digits = shortest.unscaledValue().abs().toString();
    String mantissa = digits.length() == 1 ? digits : digits.charAt(0) + "." + digits.substring(1);
    return (value < 0 ? "-" : "")
        + mantissa
        + (exponent < 0 ? "e-" : "e+")
        + (Math.abs(exponent) < 10 ? "0" : "")
        + Math.abs(exponent);
  }

  /** {@code Double.toString} is the shortest only since JDK 19. */
  private static BigDecimal shortest(double value) {
    BigDecimal exact = new BigDecimal(value);
    for (int digits = 1; digits < 17; digits++) {
      BigDecimal rounded = exact.round(new MathContext(digits));
      if (rounded.doubleValue() == value) {
        return rounded;
      }
    }
    return exact.round(new MathContext(17));
  }
}
