package ai.nibble.data;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

class BatchTest {
  private static List<Example> examples(int n) {
    return IntStream.range(0, n)
        .mapToObj(i -> new Example(new int[] {i, i, i}, new int[] {i, -100, i}))
        .toList();
  }

  @Test
  void sequencesStandBackToBack() {
    Batch batch =
        Batch.of(
            List.of(
                new Example(new int[] {1, 2}, new int[] {1, 2}),
                new Example(new int[] {3, 4, 5}, new int[] {-100, -100, 5})));
    assertArrayEquals(new int[] {1, 2, 3, 4, 5}, batch.inputIds());
    assertArrayEquals(new int[] {1, 2, -100, -100, 5}, batch.labels());
    assertArrayEquals(new int[] {0, 2, 5}, batch.sequenceStarts());
    assertEquals(5, batch.tokens());
    assertEquals(2, batch.sequences());
  }

  @Test
  void theFirstTokenOfASequenceCarriesNoLoss() {
    Batch batch = Batch.of(examples(4));
    assertEquals(4, batch.lossTokens());
  }

  @Test
  void startsThatDoNotFitAreRefused() {
    int[] two = {1, 2};
    for (int[] starts : new int[][] {{0}, {0, 1}, {1, 2}, {0, 0, 2}, {0, 3}}) {
      assertThrows(IllegalArgumentException.class, () -> new Batch(two, two, starts));
    }
  }

  @Test
  void anEpochVisitsEveryExampleOnceInAnOrderOfItsOwn() {
    EpochSampler sampler = new EpochSampler(examples(10), 4, 42);
    List<List<Integer>> epochs = new ArrayList<>();
    for (int epoch = 0; epoch < 3; epoch++) {
      List<Integer> seen = new ArrayList<>();
      for (int expected : new int[] {4, 4, 2}) {
        Batch batch = sampler.next();
        assertEquals(expected, batch.sequences());
        IntStream.range(0, expected).forEach(i -> seen.add(batch.inputIds()[3 * i]));
      }
      assertEquals(10, seen.stream().distinct().count());
      assertEquals(new EpochSampler.Cursor(epoch, 10), sampler.cursor());
      epochs.add(seen);
    }
    assertNotEquals(epochs.get(0), epochs.get(1));
    assertNotEquals(epochs.get(1), epochs.get(2));
  }

  @Test
  void aRestoredSamplerGoesOnWhereItWas() {
    EpochSampler whole = new EpochSampler(examples(7), 3, 5);
    for (int drawn = 0; drawn < 9; drawn++) {
      EpochSampler resumed = new EpochSampler(examples(7), 3, 5);
      resumed.restore(whole.cursor());
      assertArrayEquals(resumed.next().inputIds(), whole.next().inputIds());
      assertEquals(whole.cursor(), resumed.cursor());
    }
    assertThrows(
        IllegalArgumentException.class, () -> whole.restore(new EpochSampler.Cursor(0, 8)));
  }

  @Test
  void theOrderIsPinned() {
    // From the same recipe written in Python over unbounded integers.
    assertArrayEquals(new int[] {2, 3, 6, 4, 7, 9, 0, 8, 1, 5}, new Shuffle(42, 0).order(10));
    assertArrayEquals(new int[] {8, 1, 9, 4, 3, 5, 0, 6, 7, 2}, new Shuffle(42, 1).order(10));
    assertArrayEquals(new int[] {0, 8, 6, 3, 2, 5, 9, 1, 7, 4}, new Shuffle(-1, 3).order(10));
  }

  @Test
  void placesAreEquallyLikely() {
    int[] first = new int[5];
    for (int seed = 0; seed < 5000; seed++) {
      first[new Shuffle(seed, 0).order(5)[0]]++;
    }
    // Binomial: 1000 expected, σ = √(5000 · 0.2 · 0.8) = 28; five of them.
    Arrays.stream(first).forEach(n -> assertEquals(1000, n, 141));
  }
}
