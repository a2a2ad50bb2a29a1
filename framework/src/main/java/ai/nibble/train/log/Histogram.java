package ai.nibble.train.log;

import java.util.Arrays;

/**
 * Values counted in buckets of equal width, as TensorBoard's {@code HistogramProto} has them.
 *
 * @param values finite, at least one, ascending
 * @param limits the buckets' upper ends, ascending; the first begins at the least value
 * @param counts of values in each bucket, its upper end included
 */
record Histogram(double[] values, double[] limits, double[] counts) {
  private static final int BUCKETS = 30;

  /** Counts them. */
  static Histogram of(double[] values) {
    double[] sorted = values.clone();
    Arrays.sort(sorted);
    double min = sorted[0];
    double max = sorted[sorted.length - 1];
    int buckets = min == max ? 1 : BUCKETS;
    double[] limits = new double[buckets];
    double[] counts = new double[buckets];
    for (int i = 0; i < buckets; i++) {
      // the last is exactly the largest value
      limits[i] = i == buckets - 1 ? max : min + (max - min) * (i + 1) / buckets;
    }
    int bucket = 0;
    for (double value : sorted) {
      while (value > limits[bucket]) {
        bucket++;
      }
      counts[bucket]++;
    }
    return new Histogram(sorted, limits, counts);
  }

  double min() {
    return values[0];
  }

  double max() {
    return values[values.length - 1];
  }

  double sum() {
    return Arrays.stream(values).sum();
  }

  double sumSquares() {
    return Arrays.stream(values).map(v -> v * v).sum();
  }
}
