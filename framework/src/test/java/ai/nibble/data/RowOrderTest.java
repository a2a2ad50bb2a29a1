package ai.nibble.data;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Random;
import java.util.Set;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

class RowOrderTest {
  private static final int[] FEW = {7, 3, 9, 2, 5, 5, 4, 8, 1, 6, 3, 2};

  /** More than two windows; the epochs' packs differ in number. */
  private static final int[] MANY = IntStream.range(0, 600).map(i -> i * 37 % 101 + 1).toArray();

  private static List<RowOrder> orders() {
    return List.of(
        RowOrder.SHUFFLED,
        RowOrder.AS_GIVEN,
        new RowOrder.LengthGrouped(3),
        new RowOrder.Packed(128));
  }

  /** Lengths as conversations have them: many short, few long. */
  private static int[] conversations(int rows, int longest) {
    Random random = new Random(11);
    return IntStream.range(0, rows)
        .map(i -> Math.min(longest, 1 + (int) Math.exp(4.9 + 0.7 * random.nextGaussian())))
        .toArray();
  }

  private static List<List<Integer>> units(Epoch epoch) {
    List<List<Integer>> units = new ArrayList<>();
    for (int u = 0; u < epoch.units(); u++) {
      units.add(Arrays.stream(epoch.rows(u, u + 1)).boxed().toList());
    }
    return units;
  }

  @ParameterizedTest
  @MethodSource("orders")
  void anEpochDrawsEveryRowOnceAndKnowsItsUnits(RowOrder order) {
    for (int[] lengths : List.of(FEW, MANY, new int[] {1})) {
      for (int number = 0; number < 4; number++) {
        Epoch epoch = order.epoch(lengths, 5, number);
        assertEquals(lengths.length, Arrays.stream(epoch.rows()).distinct().count());
        assertEquals(lengths.length, epoch.rows().length);
        assertEquals(epoch.units(), order.units(lengths, 5, number));
        assertArrayEquals(epoch.rows(), epoch.rows(0, epoch.units()));
      }
    }
  }

  /** From the same recipe written in Python, with a list of packs searched from end to end. */
  @Test
  void packsArePinned() {
    RowOrder.Packed tens = new RowOrder.Packed(10);
    assertEquals(
        List.of(
            List.of(0, 10),
            List.of(7, 3),
            List.of(9, 6),
            List.of(2, 8),
            List.of(5, 4),
            List.of(1, 11)),
        units(tens.epoch(FEW, 42, 0)));
    assertEquals(
        List.of(
            List.of(10, 3),
            List.of(7, 11),
            List.of(0, 1),
            List.of(9, 6),
            List.of(4, 5),
            List.of(2, 8)),
        units(tens.epoch(FEW, 42, 1)));
    int[] packs = {245, 241, 240, 240, 240, 241};
    int[] sums = {226353, 900056, 425506, 197182, 659076, 111630};
    for (int number = 0; number < packs.length; number++) {
      List<List<Integer>> units = units(new RowOrder.Packed(128).epoch(MANY, 7, number));
      assertEquals(packs[number], units.size());
      long sum = 0;
      for (int k = 0; k < units.size(); k++) {
        for (int j = 0; j < units.get(k).size(); j++) {
          sum += (k + 1L) * units.get(k).get(j) * (j + 1) % 1_000_003;
        }
      }
      assertEquals(sums[number], sum % 1_000_003);
    }
  }

  @ParameterizedTest
  @ValueSource(ints = {512, 1024, 4096})
  void packsAreNearlyFullAndNeverTooFull(int tokens) {
    int[] lengths = conversations(5_000, 512);
    RowOrder.Packed order = new RowOrder.Packed(tokens);
    for (int number = 0; number < 3; number++) {
      for (List<Integer> pack : units(order.epoch(lengths, 1, number))) {
        assertTrue(pack.stream().mapToInt(row -> lengths[row]).sum() <= tokens);
      }
      PackingSummary summary = PackingSummary.of(lengths, order, 1, number);
      assertTrue(summary.fill() > 0.98, summary.toString());
      int best = BestFit.pack(lengths, tokens, 1, number, lengths.length).units();
      assertTrue(summary.packs() <= 1.01 * best, summary + ", all at once " + best);
    }
  }

  @Test
  void howFullPacksAreIsSaidInOneLine() {
    assertEquals(
        "12 rows into 6 packs of up to 10 tokens, 91.7 % full",
        PackingSummary.of(FEW, new RowOrder.Packed(10), 42, 0).toString());
  }

  @Test
  void rowsMeetOthersInEveryEpoch() {
    int[] lengths = conversations(1_000, 512);
    double windows = metBefore(lengths, BestFit.WINDOW);
    double allAtOnce = metBefore(lengths, lengths.length);
    assertTrue(windows < 0.06, windows + " of the pairs");
    assertTrue(allAtOnce > 0.2, "the control: " + allAtOnce);
  }

  /** Of the pairs of rows in a pack, the share that an earlier one of four epochs had, too. */
  private static double metBefore(int[] lengths, int window) {
    Set<List<Integer>> seen = new HashSet<>();
    int met = 0;
    int again = 0;
    for (int number = 0; number < 4; number++) {
      for (List<Integer> pack : units(BestFit.pack(lengths, 512, 1, number, window))) {
        for (int a : pack) {
          for (int b : pack) {
            met += a < b ? 1 : 0;
            again += a < b && !seen.add(List.of(a, b)) ? 1 : 0;
          }
        }
      }
    }
    return (double) again / met;
  }

  @Test
  void aRowLongerThanAPackIsRefused() {
    IllegalArgumentException e =
        assertThrows(IllegalArgumentException.class, () -> new RowOrder.Packed(8).epoch(FEW, 1, 0));
    assertEquals("a row of 9 tokens for packs of 8", e.getMessage());
  }

  @Test
  void groupsArePinned() {
    RowOrder order = new RowOrder.LengthGrouped(5);
    assertArrayEquals(
        new int[] {2, 7, 0, 9, 5, 4, 6, 10, 1, 3, 11, 8}, order.epoch(FEW, 42, 0).rows());
    assertArrayEquals(
        new int[] {2, 7, 0, 9, 4, 5, 6, 1, 10, 11, 3, 8}, order.epoch(FEW, 42, 1).rows());
  }

  @Test
  void groupedMicroBatchesAreOfAboutOneLengthTheLongestFirst() {
    int[] lengths = conversations(2_003, 512);
    int grouped = spread(lengths, new RowOrder.LengthGrouped(8).epoch(lengths, 3, 0), 8);
    int shuffled = spread(lengths, RowOrder.SHUFFLED.epoch(lengths, 3, 0), 8);
    assertTrue(10 * grouped < shuffled, grouped + " against " + shuffled);
    Epoch epoch = new RowOrder.LengthGrouped(8).epoch(lengths, 3, 1);
    assertEquals(Arrays.stream(lengths).max().getAsInt(), lengths[epoch.rows()[0]]);
    int[] firsts = IntStream.range(0, 250).map(b -> lengths[epoch.rows()[8 * b]]).toArray();
    int[] sorted = firsts.clone();
    Arrays.sort(sorted);
    assertNotEquals(Arrays.hashCode(sorted), Arrays.hashCode(firsts), "the order is random");
  }

  /** What padding each micro-batch to its longest row would add. */
  private static int spread(int[] lengths, Epoch epoch, int size) {
    int spread = 0;
    for (int from = 0; from < epoch.units(); from += size) {
      int[] rows = epoch.rows(from, Math.min(epoch.units(), from + size));
      int longest = Arrays.stream(rows).map(row -> lengths[row]).max().orElse(0);
      spread += Arrays.stream(rows).map(row -> longest - lengths[row]).sum();
    }
    return spread;
  }

  private static List<Example> examples(int[] lengths) {
    List<Example> examples = new ArrayList<>();
    for (int i = 0; i < lengths.length; i++) {
      int[] ids = new int[lengths[i]];
      Arrays.fill(ids, i);
      examples.add(new Example(ids, ids));
    }
    return examples;
  }

  /** Also over the ends of epochs, whose packs differ in number. */
  @ParameterizedTest
  @MethodSource("orders")
  void aRestoredSamplerGoesOnWhereItWasWhateverTheOrder(RowOrder order) {
    List<Example> examples = examples(MANY);
    EpochSampler whole = new EpochSampler(new EpochPlan(examples, order, 7), 7);
    for (int drawn = 0; drawn < 180; drawn++) {
      EpochSampler resumed = new EpochSampler(new EpochPlan(examples, order, 7), 7);
      resumed.restore(whole.cursor());
      assertArrayEquals(whole.next().inputIds(), resumed.next().inputIds());
      assertEquals(whole.cursor(), resumed.cursor());
    }
    assertTrue(whole.cursor().epoch() >= 2, whole.cursor().toString());
  }

  @Test
  void aMicroBatchHasSoManyPacks() {
    EpochSampler sampler =
        new EpochSampler(new EpochPlan(examples(MANY), new RowOrder.Packed(128), 7), 4);
    List<Integer> rows = new ArrayList<>();
    for (int batch = 0; batch < 62; batch++) {
      Batch drawn = sampler.next();
      assertTrue(drawn.tokens() <= 4 * 128);
      for (int s = 0; s < drawn.sequences(); s++) {
        rows.add(drawn.inputIds()[drawn.sequenceStarts()[s]]);
      }
    }
    assertTrue(sampler.isAtEpochEnd(), "245 packs");
    assertEquals(1, sampler.epochs());
    assertEquals(MANY.length, Set.copyOf(rows).size());
    assertEquals(MANY.length, rows.size());
  }
}
