package ai.nibble.eval.task;

import java.math.BigDecimal;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * The number that an answer ends in: behind the first {@code ####}, as GSM8K writes answers, else
 * the last one. Numbers compare by value: {@code 1,000}, {@code $1000} and {@code 1000.0} are one.
 */
public final class FinalNumber {
  private static final String NUMBER = "-?\\$?(?:\\d[\\d,]*(?:\\.\\d+)?|\\.\\d+)";
  private static final Pattern MARKED = Pattern.compile("####\\s*(" + NUMBER + ")");
  private static final Pattern ANY = Pattern.compile(NUMBER);

  private FinalNumber() {}

  /** The number without trailing zeros; empty where there is none. */
  public static Optional<BigDecimal> of(String answer) {
    Matcher marked = MARKED.matcher(answer);
    if (marked.find()) {
      return Optional.of(value(marked.group(1)));
    }
    Matcher any = ANY.matcher(answer);
    Optional<BigDecimal> last = Optional.empty();
    while (any.find()) {
      last = Optional.of(value(any.group()));
    }
    return last;
  }

  private static BigDecimal value(String number) {
    return new BigDecimal(number.replaceAll("[$,]", "")).stripTrailingZeros();
  }
}
