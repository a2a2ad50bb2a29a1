package ai.nibble.generate;

import java.util.Locale;
import java.util.Optional;
import java.util.function.DoublePredicate;

/**
 * A setting of {@link SamplingConfig}, by its name in {@code generation_config.json}, with
 * transformers' default and the values it may have.
 */
public enum SamplingKey {
  TEMPERATURE(1, false, v -> v >= 0 && v <= Float.MAX_VALUE, "a finite number of at least 0"),
  TOP_K(50, true, v -> v >= 0, "a whole number of at least 0 (0: off)"),
  TOP_P(1, false, v -> v > 0 && v <= 1, "a number above 0 and up to 1 (1: off)"),
  MIN_P(0, false, v -> v >= 0 && v <= 1, "a number from 0 to 1 (0: off)"),
  TYPICAL_P(1, false, v -> v > 0 && v <= 1, "a number above 0 and up to 1 (1: off)"),
  REPETITION_PENALTY(
      1, false, v -> v > 0 && v <= Float.MAX_VALUE, "a finite number above 0 (1: off)"),
  PRESENCE_PENALTY(0, false, v -> Math.abs(v) <= Float.MAX_VALUE, "a finite number (0: off)"),
  FREQUENCY_PENALTY(0, false, v -> Math.abs(v) <= Float.MAX_VALUE, "a finite number (0: off)"),
  NO_REPEAT_NGRAM_SIZE(0, true, v -> v >= 0, "a whole number of at least 0 (0: off)");

  private final double defaultValue;
  private final boolean whole;
  private final DoublePredicate range;
  private final String expected;

  SamplingKey(double defaultValue, boolean whole, DoublePredicate range, String expected) {
    this.defaultValue = defaultValue;
    this.whole = whole;
    this.range = range;
    this.expected = expected;
  }

  /** The name in {@code generation_config.json}. */
  public String key() {
    return name().toLowerCase(Locale.ROOT);
  }

  /** The value where nothing is said, which for all but the first two changes nothing. */
  public double defaultValue() {
    return defaultValue;
  }

  /** Whether it bends the probabilities of drawing, and so does nothing in greedy decoding. */
  public boolean isForDrawing() {
    return ordinal() <= TYPICAL_P.ordinal();
  }

  /** The value as people write it. */
  public String shown(double value) {
    return value == Math.rint(value) && Math.abs(value) < 1e15
        ? Long.toString((long) value)
        : Double.toString(value);
  }

  /** What is wrong with a value: {@code is 2, expected …}; empty if nothing is. */
  public Optional<String> problem(double value) {
    boolean fits = range.test(value) && (!whole || value == (int) value);
    return fits ? Optional.empty() : Optional.of("is " + shown(value) + ", expected " + expected);
  }
}
