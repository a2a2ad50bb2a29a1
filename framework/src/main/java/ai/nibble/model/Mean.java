package ai.nibble.model;

/**
 * A mean that is still being gathered.
 *
 * @param sum of the values
 * @param count how many they are
 */
public record Mean(double sum, long count) {
  /** One value. */
  public static Mean of(double value) {
    return new Mean(value, 1);
  }

  /** The mean of both's values. */
  public Mean plus(Mean other) {
    return new Mean(sum + other.sum, count + other.count);
  }

  /** NaN where there are no values. */
  public double value() {
    return sum / count;
  }
}
