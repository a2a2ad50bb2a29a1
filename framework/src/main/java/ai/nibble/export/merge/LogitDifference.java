package ai.nibble.export.merge;

/**
 * How far one model's logits are from another's.
 *
 * @param max largest difference of two logits
 * @param meanKl Kullback–Leibler divergence of the next token's distribution from the other's, in
 *     nats, mean over positions
 */
public record LogitDifference(double max, double meanKl) {

  /**
   * Compares.
   *
   * @param expected {@code [positions, vocabulary]}, row-major: whose expectation the divergence is
   * @param actual of the same shape
   */
  static LogitDifference of(float[] expected, float[] actual, int vocabulary) {
    double max = 0;
    double sum = 0;
    int positions = expected.length / vocabulary;
    for (int p = 0; p < positions; p++) {
      int at = p * vocabulary;
      double logSumExpected = logSumExp(expected, at, vocabulary);
      double logSumActual = logSumExp(actual, at, vocabulary);
      for (int v = at; v < at + vocabulary; v++) {
        double difference = (double) expected[v] - actual[v];
        max = Double.isNaN(difference) ? Double.NaN : Math.max(max, Math.abs(difference));
        double logProbability = expected[v] - logSumExpected;
        sum += Math.exp(logProbability) * (difference - logSumExpected + logSumActual);
      }
    }
    // a divergence is never negative; its rounding can be
    return new LogitDifference(max, Math.max(0, sum / positions));
  }

  private static double logSumExp(float[] values, int at, int count) {
    double max = Double.NEGATIVE_INFINITY;
    for (int i = at; i < at + count; i++) {
      max = Math.max(max, values[i]);
    }
    double sum = 0;
    for (int i = at; i < at + count; i++) {
      sum += Math.exp(values[i] - max);
    }
    return max + Math.log(sum);
  }

  /** Whether neither figure is above another's; false for figures that are not numbers. */
  boolean isWithin(LogitDifference bound) {
    return max <= bound.max && meanKl <= bound.meanKl;
  }
}
