package ai.nibble.eval;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Random;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

class MetricTest {
  private static final double EPS = 1e-12;

  private static boolean[] right(int right, int of) {
    boolean[] all = new boolean[of];
    java.util.Arrays.fill(all, 0, right, true);
    return all;
  }

  @Test
  void theStandardErrorOfAShareIsTheSamplesOverRootN() {
    Estimate acc = Metric.share("acc", right(113, 300)).estimate();
    double p = 113 / 300.0;
    assertEquals(p, acc.value(), EPS);
    assertEquals(Math.sqrt(p * (1 - p) / 299), acc.standardError(), EPS);
    assertEquals(0.0280, acc.standardError(), 5e-5);
  }

  @Test
  void perplexityIsTheExponentialOfTheMeanOverTokens() {
    double[] losses = {30, 18, 7};
    double[] tokens = {10, 10, 4};
    Estimate perplexity = Metric.perplexity("perplexity", losses, tokens).estimate();
    double m = 55 / 24.0;
    assertEquals(Math.exp(m), perplexity.value(), EPS * Math.exp(m));
    double squares = 0;
    for (int i = 0; i < 3; i++) {
      squares += Math.pow(losses[i] - m * tokens[i], 2);
    }
    double ofMean = Math.sqrt(1.5 * squares) / 24;
    assertEquals(Math.exp(m) * ofMean, perplexity.standardError(), EPS * Math.exp(m));
  }

  @Test
  void theStandardErrorCoversWhatResamplingGives() {
    Random random = new Random(4);
    int trials = 4000;
    double[] values = new double[trials];
    double error = 0;
    for (int t = 0; t < trials; t++) {
      double[] tokens = IntStream.range(0, 50).mapToDouble(i -> 10 + random.nextInt(20)).toArray();
      double[] losses = new double[50];
      for (int i = 0; i < 50; i++) {
        losses[i] = tokens[i] * (2 + 0.5 * random.nextGaussian());
      }
      Estimate estimate = Metric.perplexity("perplexity", losses, tokens).estimate();
      values[t] = estimate.value();
      error += estimate.standardError() / trials;
    }
    double mean = java.util.Arrays.stream(values).average().orElseThrow();
    double spread =
        Math.sqrt(
            java.util.Arrays.stream(values).map(v -> (v - mean) * (v - mean)).sum() / (trials - 1));
    // the spread of 4,000 trials is known to 1/√8000 = 1.1 %, and 50 items bias the error by 1/50
    assertEquals(spread, error, 0.06 * spread);
  }

  @Test
  void whatTwoModelsShareCancelsInTheirDifference() {
    Metric a = Metric.share("acc", right(60, 100));
    boolean[] more = right(60, 100);
    more[60] = true;
    Metric b = Metric.share("acc", more);
    Estimate difference = b.minus(a);
    assertEquals(0.01, difference.value(), EPS);
    // differences of 1, and 99 of 0: their standard deviation is √(1/100) times √(100/99 · 99/100)
    assertEquals(0.1 / 10, difference.standardError(), EPS);
    assertTrue(difference.standardError() < a.estimate().standardError() / 4);
    assertEquals(0, a.minus(a).standardError());
    double[] ones = {1, 1};
    Metric first = Metric.perplexity("perplexity", new double[] {1, 3}, ones);
    Metric second = Metric.perplexity("perplexity", new double[] {1.5, 3.5}, ones);
    // both deviations are equal but for the factor exp(m)
    double own = first.estimate().standardError();
    assertEquals(own * (Math.exp(0.5) - 1), second.minus(first).standardError(), EPS * Math.exp(3));
  }

  @Test
  void aSingleItemHasNoStandardError() {
    assertTrue(Double.isNaN(Metric.share("acc", right(1, 1)).estimate().standardError()));
    assertThrows(IllegalArgumentException.class, () -> Metric.share("acc", new boolean[0]));
  }
}
