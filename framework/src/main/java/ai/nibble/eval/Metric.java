package ai.nibble.eval;

import java.util.Arrays;
import java.util.stream.IntStream;

/**
 * What was measured on every item, and what follows for all: with {@code m = Σ values / Σ weights},
 * the metric is {@code m}, or {@code exp(m)} for a perplexity.
 *
 * <p>Items are taken as drawn independently. The standard error is that of a ratio of sums, {@code
 * √(n/(n−1) · Σ (vᵢ − m·wᵢ)²) / Σw}, with weights of one the usual {@code s/√n}; that of {@code
 * exp(m)} is {@code exp(m)} times as much (delta method). For a perplexity the items are windows,
 * so tokens of one window may depend on each other.
 *
 * @param name for people and files, such as {@code acc_norm}
 * @param exponential whether the metric is {@code exp(m)}
 * @param values of each item
 * @param weights of each item, for a perplexity its tokens
 */
public record Metric(String name, boolean exponential, double[] values, double[] weights) {
  public Metric {
    if (values.length == 0 || values.length != weights.length) {
      throw new IllegalArgumentException(
          values.length + " values and " + weights.length + " weights, expected as many, and some");
    }
  }

  /** The share of items that are right. */
  public static Metric share(String name, boolean[] right) {
    double[] values = IntStream.range(0, right.length).mapToDouble(i -> right[i] ? 1 : 0).toArray();
    double[] ones = new double[right.length];
    Arrays.fill(ones, 1);
    return new Metric(name, false, values, ones);
  }

  /** The exponential of the mean negative log-likelihood of a token. */
  public static Metric perplexity(String name, double[] lossSums, double[] tokens) {
    return new Metric(name, true, lossSums, tokens);
  }

  /** Items it was measured on. */
  public int items() {
    return values.length;
  }

  public Estimate estimate() {
    return new Estimate(value(), standardError(deviations()));
  }

  /**
   * This metric less another on the same items. What the items have in common cancels, so a small
   * difference may be certain where the standard errors of both are large.
   */
  public Estimate minus(Metric other) {
    if (other.items() != items()) {
      throw new IllegalArgumentException(items() + " items less " + other.items());
    }
    double[] own = deviations();
    double[] others = other.deviations();
    double[] paired = IntStream.range(0, own.length).mapToDouble(i -> own[i] - others[i]).toArray();
    return new Estimate(value() - other.value(), standardError(paired));
  }

  private double ratio() {
    return Arrays.stream(values).sum() / Arrays.stream(weights).sum();
  }

  private double value() {
    return exponential ? Math.exp(ratio()) : ratio();
  }

  /** What each item moves the metric by, to first order. */
  private double[] deviations() {
    double m = ratio();
    double slope = (exponential ? Math.exp(m) : 1) / Arrays.stream(weights).sum();
    return IntStream.range(0, values.length)
        .mapToDouble(i -> slope * (values[i] - m * weights[i]))
        .toArray();
  }

  private static double standardError(double[] deviations) {
    double n = deviations.length;
    double squares = Arrays.stream(deviations).map(d -> d * d).sum();
    return n > 1 ? Math.sqrt(n / (n - 1) * squares) : Double.NaN;
  }
}
