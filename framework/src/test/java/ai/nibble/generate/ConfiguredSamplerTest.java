package ai.nibble.generate;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.InvalidInputException;
import java.nio.FloatBuffer;
import java.util.Arrays;
import java.util.Map;
import java.util.Random;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** What is drawn has the probabilities that are left. */
class ConfiguredSamplerTest {
  private static final int DRAWS = 40_000;

  /** By how much chi-square passes only once in 100,000 times, by its degrees of freedom. */
  private static double critical(int freedom) {
    // Wilson and Hilferty 1931; 4.265 is the normal distribution's quantile
    double t = 2.0 / (9 * freedom);
    return freedom * Math.pow(1 - t + 4.265 * Math.sqrt(t), 3);
  }

  private static float[] logits() {
    Random random = new Random(6);
    float[] logits = new float[24];
    for (int i = 0; i < logits.length; i++) {
      logits[i] = (float) random.nextGaussian() * 1.3f;
    }
    return logits;
  }

  /** A sequence with so many tokens generated. */
  private static TokenHistory at(int sequence, int position) {
    TokenHistory history = new TokenHistory(sequence, new int[] {0});
    for (int i = 0; i < position; i++) {
      history.add(0);
    }
    return history;
  }

  private static SamplingConfig config(Map<SamplingKey, Double> given, long seed) {
    return SamplingConfig.of(given, seed);
  }

  private static double chiSquare(long[] counts, double[] expected) {
    double sum = 0;
    long all = Arrays.stream(counts).sum();
    for (int i = 0; i < counts.length; i++) {
      double e = expected[i] * all;
      sum += (counts[i] - e) * (counts[i] - e) / e;
    }
    return sum;
  }

  @ParameterizedTest
  @CsvSource({
    "1, 0, 1, 0, 1",
    "0.7, 0, 1, 0, 1",
    "1.8, 9, 1, 0, 1",
    "1, 0, 0.8, 0, 1",
    "1.2, 0, 1, 0.1, 1",
    "1, 15, 0.95, 0.02, 0.9"
  })
  void whatIsDrawnHasTheProbabilitiesThatAreLeft(
      double temperature, double topK, double topP, double minP, double typicalP) {
    Map<SamplingKey, Double> given =
        Map.of(
            SamplingKey.TEMPERATURE, temperature,
            SamplingKey.TOP_K, topK,
            SamplingKey.TOP_P, topP,
            SamplingKey.MIN_P, minP,
            SamplingKey.TYPICAL_P, typicalP);
    float[] logits = logits();
    Candidates left = new ConfiguredSampler(config(given, 0)).candidates(logits.clone());
    int[] ids = left.ids();
    // a seed's positions, a seed's sequences, and seeds: each is a stream of its own
    for (String stream : new String[] {"positions", "sequences", "seeds"}) {
      long[] counts = new long[ids.length];
      for (int i = 0; i < DRAWS; i++) {
        TokenHistory history =
            stream.equals("positions")
                ? at(i / 200, i % 200)
                : at(stream.equals("seeds") ? 3 : i, 5);
        long seed = stream.equals("seeds") ? i : 11;
        int id = config(given, seed).sampler().pick(FloatBuffer.wrap(logits), history);
        int index = Arrays.binarySearch(ids, id);
        assertTrue(index >= 0, id + " was dropped");
        counts[index]++;
      }
      double chi = chiSquare(counts, left.probabilities());
      assertTrue(chi < critical(ids.length - 1), stream + ": " + chi + " for " + ids.length);
    }
  }

  @Test
  void chiSquareSeesADistributionThatIsOffByAFewPercent() {
    double[] p = Candidates.of(logits(), 1).probabilities();
    double[] other = Candidates.of(logits(), 1.1).probabilities();
    long[] counts = Arrays.stream(other).mapToLong(v -> Math.round(v * DRAWS)).toArray();
    assertTrue(chiSquare(counts, p) > critical(p.length - 1));
  }

  @Test
  void neighboursInTheKeyAreIndependent() {
    // pairs of numbers of neighbouring positions, sequences and seeds fill a 10 by 10 grid evenly
    double[] even = new double[100];
    Arrays.fill(even, 0.01);
    for (int way = 0; way < 3; way++) {
      long[] counts = new long[100];
      for (int i = 0; i < DRAWS; i++) {
        int a = way == 0 ? 2 * (i % 100) : i;
        TokenHistory one = way == 1 ? at(2 * i, 4) : way == 0 ? at(i / 100, a) : at(5, 4);
        TokenHistory two = way == 1 ? at(2 * i + 1, 4) : way == 0 ? at(i / 100, a + 1) : at(5, 4);
        double u = ConfiguredSampler.uniform(way == 2 ? 2L * i : 3, one);
        double v = ConfiguredSampler.uniform(way == 2 ? 2L * i + 1 : 3, two);
        counts[(int) (u * 10) * 10 + (int) (v * 10)]++;
      }
      double chi = chiSquare(counts, even);
      assertTrue(chi < critical(99), "way " + way + ": " + chi);
    }
  }

  @Test
  void greedyTakesTheLargestAfterPenalties() {
    float[] logits = {2, 1.5f, -1, 0};
    TokenHistory history = new TokenHistory(0, new int[] {0});
    Sampler plain = SamplingConfig.GREEDY.sampler();
    assertEquals(0, plain.pick(FloatBuffer.wrap(logits), history));
    Map<SamplingKey, Double> given =
        Map.of(SamplingKey.TEMPERATURE, 0.0, SamplingKey.REPETITION_PENALTY, 1.5);
    assertEquals(1, config(given, 0).sampler().pick(FloatBuffer.wrap(logits), history));
    assertArrayEquals(new float[] {2, 1.5f, -1, 0}, logits, "the logits stay");
  }

  @Test
  void presenceAndFrequencyCountTheAnswersTokensOnly() {
    Map<SamplingKey, Double> given =
        Map.of(SamplingKey.PRESENCE_PENALTY, 0.5, SamplingKey.FREQUENCY_PENALTY, 0.25);
    TokenHistory history = new TokenHistory(0, new int[] {0, 3});
    for (int token : new int[] {1, 2, 2, 2}) {
      history.add(token);
    }
    float[] scores = {1, 1, 1, 1};
    new Penalties(config(given, 0)).apply(scores, history);
    assertArrayEquals(new float[] {1, 0.25f, -0.25f, 1}, scores);
  }

  @Test
  void extremeTemperaturesGiveNumbers() {
    float[] logits = {1e30f, -1e30f, 0};
    assertArrayEquals(new double[] {1, 0, 0}, Candidates.of(logits, 1e-30).probabilities());
    double[] hot = Candidates.of(new float[] {3, -3}, 1e30).probabilities();
    assertArrayEquals(new double[] {0.5, 0.5}, hot, 1e-12);
    assertThrows(InvalidInputException.class, () -> Candidates.of(new float[] {1, Float.NaN}, 1));
    float[] none = {Float.NEGATIVE_INFINITY, Float.NEGATIVE_INFINITY};
    assertThrows(InvalidInputException.class, () -> Candidates.of(none, 1));
  }

  @Test
  void ofManyTokensTopPKeepsTheFewestAndTopKThoseThatEqualTheLast() {
    Random random = new Random(2);
    float[] logits = new float[5000];
    IntStream.range(0, logits.length).forEach(i -> logits[i] = (float) random.nextGaussian() * 3);
    double[] p = Candidates.of(logits, 1).probabilities();
    double[] sorted = Arrays.stream(p).sorted().toArray();
    for (double topP : new double[] {1e-9, 0.3, 0.9, 0.999, 0.9999999}) {
      Candidates left = Candidates.of(logits, 1);
      left.topP(topP);
      double dropped = 0;
      int first = 0;
      while (first < sorted.length - 1 && dropped + sorted[first] <= 1 - topP) {
        dropped += sorted[first++];
      }
      assertEquals(sorted.length - first, left.ids().length, "top_p " + topP);
    }
    logits[17] = logits[4000];
    for (int k : new int[] {1, 2, 50, 4999}) {
      float[] descending = logits.clone();
      Arrays.sort(descending);
      float last = descending[descending.length - k];
      long expected = IntStream.range(0, 5000).filter(i -> logits[i] >= last).count();
      Candidates left = Candidates.of(logits, 1);
      left.topK(k);
      assertEquals(expected, left.ids().length, "top_k " + k);
    }
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "TEMPERATURE | NaN | 'temperature' is NaN, expected a finite number of at least 0",
        "TEMPERATURE | -1 | 'temperature' is -1, expected a finite number of at least 0",
        "TEMPERATURE | Infinity | 'temperature' is Infinity, expected a finite number of at least 0",
        "TOP_K | -1 | 'top_k' is -1, expected a whole number of at least 0 (0: off)",
        "TOP_K | 1.5 | 'top_k' is 1.5, expected a whole number of at least 0 (0: off)",
        "TOP_P | 0 | 'top_p' is 0, expected a number above 0 and up to 1 (1: off)",
        "TOP_P | 2 | 'top_p' is 2, expected a number above 0 and up to 1 (1: off)",
        "MIN_P | -0.1 | 'min_p' is -0.1, expected a number from 0 to 1 (0: off)",
        "TYPICAL_P | 1.01 | 'typical_p' is 1.01, expected a number above 0 and up to 1 (1: off)",
        "REPETITION_PENALTY | 0 | 'repetition_penalty' is 0, expected a finite number above 0 (1: off)",
        "FREQUENCY_PENALTY | NaN | 'frequency_penalty' is NaN, expected a finite number (0: off)",
      })
  void valuesOutOfRangeAreRefused(SamplingKey key, double value, String problem) {
    InvalidInputException e =
        assertThrows(InvalidInputException.class, () -> config(Map.of(key, value), 0));
    assertEquals(problem, e.getMessage());
  }
}
