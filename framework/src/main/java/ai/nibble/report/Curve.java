package ai.nibble.report;

import java.util.ArrayList;
import java.util.List;

/**
 * A line to draw: few points, however long the run.
 *
 * @param name in the legend
 * @param steps ascending
 * @param values of the same length; one that is not finite interrupts the line
 */
record Curve(String name, List<Integer> steps, List<Double> values) {
  /** So many points are drawn; a screen shows no more. */
  static final int MOST_POINTS = 1000;

  /** Steps that the smoothed line looks back on, at least, and as a share of the run. */
  private static final int LEAST_SMOOTHED = 5;

  private static final int SMOOTHED_SHARE = 100;

  /** All points, or of each of {@link #MOST_POINTS} / 2 stretches the least and the largest. */
  static Curve of(String name, Metrics.Series series) {
    int n = series.size();
    int stretches = n <= MOST_POINTS ? n : MOST_POINTS / 2;
    Curve curve = new Curve(name, new ArrayList<>(), new ArrayList<>());
    for (int s = 0; s < stretches; s++) {
      int begin = (int) ((long) n * s / stretches);
      int end = (int) ((long) n * (s + 1) / stretches);
      int low = begin;
      int high = begin;
      boolean gap = false;
      for (int i = begin; i < end; i++) {
        gap |= !Double.isFinite(series.value(i));
        // what is not a number is neither less nor more
        low = series.value(i) < series.value(low) || isGap(series, low) ? i : low;
        high = series.value(i) > series.value(high) || isGap(series, high) ? i : high;
      }
      curve.add(series, Math.min(low, high));
      if (low != high) {
        curve.add(series, Math.max(low, high));
      }
      if (gap && !isGap(series, low)) {
        curve.steps.add(series.step(end - 1));
        curve.values.add(Double.NaN);
      }
    }
    return curve;
  }

  private static boolean isGap(Metrics.Series series, int i) {
    return !Double.isFinite(series.value(i));
  }

  private void add(Metrics.Series series, int i) {
    steps.add(series.step(i));
    values.add(series.value(i));
  }

  /** Values that the smoothed line of a run looks back on. */
  static int window(int points) {
    return Math.max(LEAST_SMOOTHED, points / SMOOTHED_SHARE);
  }

  /**
   * The exponential mean with the weight {@code 1 - 1/window} of what was before, unbiased at the
   * beginning as Adam's moments are; values that are not finite are left out.
   */
  static Curve smoothed(String name, Metrics.Series series) {
    int n = series.size();
    double keep = 1 - 1.0 / window(n);
    double mean = 0;
    double weight = 0;
    Curve curve = new Curve(name, new ArrayList<>(), new ArrayList<>());
    int every = Math.max(1, n / MOST_POINTS + (n % MOST_POINTS == 0 ? 0 : 1));
    for (int i = 0; i < n; i++) {
      if (!isGap(series, i)) {
        mean = keep * mean + (1 - keep) * series.value(i);
        weight = keep * weight + (1 - keep);
      }
      if (weight > 0 && (i % every == 0 || i == n - 1)) {
        curve.steps.add(series.step(i));
        curve.values.add(mean / weight);
      }
    }
    return curve;
  }

  /** The last value; not a number where there is none. */
  double last() {
    return values.isEmpty() ? Double.NaN : values.get(values.size() - 1);
  }
}
