package ai.nibble.data;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.data.TrainingRows.Weighted;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

class TrainingRowsTest {
  private static List<Example> examples(int from, int count) {
    return IntStream.range(from, from + count)
        .mapToObj(i -> new Example(new int[] {i, i}, new int[] {i, i}))
        .toList();
  }

  private static int[] counts(TrainingRows rows, long seed, long epoch) {
    int[] counts = new int[rows.examples().size()];
    Arrays.stream(rows.indices(seed, epoch)).forEach(i -> counts[i]++);
    return counts;
  }

  @Test
  void aWholeWeightIsSoManyTimesEveryRow() {
    TrainingRows rows =
        new TrainingRows(examples(0, 5), List.of(new Weighted(3, 2), new Weighted(2, 1)));
    assertEquals(8, rows.perEpoch());
    for (int epoch = 0; epoch < 3; epoch++) {
      assertArrayEquals(new int[] {2, 2, 2, 1, 1}, counts(rows, 7, epoch));
    }
  }

  @Test
  void aFractionIsADrawOfItsOwnInEachEpoch() {
    TrainingRows rows =
        new TrainingRows(examples(0, 100), List.of(new Weighted(60, 1.5), new Weighted(40, 0.1)));
    assertEquals(94, rows.perEpoch());
    List<List<Integer>> drawn = new ArrayList<>();
    for (int epoch = 0; epoch < 3; epoch++) {
      int[] counts = counts(rows, 1, epoch);
      assertEquals(90, Arrays.stream(counts, 0, 60).sum());
      assertTrue(Arrays.stream(counts, 0, 60).allMatch(n -> n == 1 || n == 2));
      assertEquals(4, Arrays.stream(counts, 60, 100).sum());
      assertTrue(Arrays.stream(counts, 60, 100).allMatch(n -> n <= 1));
      drawn.add(IntStream.range(60, 100).filter(i -> counts[i] == 1).boxed().toList());
      assertArrayEquals(rows.indices(1, epoch), rows.indices(1, epoch));
      assertFalse(Arrays.equals(rows.indices(1, epoch), rows.indices(2, epoch)));
    }
    assertEquals(3, drawn.stream().distinct().count(), drawn::toString);
  }

  @Test
  void everyRowIsEquallyLikelyToBeDrawn() {
    TrainingRows rows = new TrainingRows(examples(0, 5), List.of(new Weighted(5, 0.4)));
    int[] counts = new int[5];
    for (int epoch = 0; epoch < 5000; epoch++) {
      Arrays.stream(rows.indices(3, epoch)).forEach(i -> counts[i]++);
    }
    // 2 of 5 in each of 5000: 2000 expected, σ = √(5000 · 0.4 · 0.6) = 35; five of them.
    Arrays.stream(counts).forEach(n -> assertEquals(2000, n, 175));
  }

  @Test
  void aSetIsNeverWithoutARow() {
    assertEquals(1, new Weighted(3, 1e-9).perEpoch());
    assertEquals(3, new Weighted(2, 1.25).perEpoch()); // 2.5, rounded up
    assertThrows(IllegalArgumentException.class, () -> new Weighted(0, 1));
    assertThrows(IllegalArgumentException.class, () -> new Weighted(3, 0));
    assertThrows(IllegalArgumentException.class, () -> new Weighted(3, Double.NaN));
    assertThrows(IllegalArgumentException.class, () -> new Weighted(3, 1e9));
  }

  @Test
  void aSamplerOfAMixtureResumesToTheRow() {
    TrainingRows rows =
        new TrainingRows(examples(0, 9), List.of(new Weighted(5, 2.5), new Weighted(4, 0.5)));
    EpochSampler whole = new EpochSampler(rows, 4, 11);
    for (int drawn = 0; drawn < 12; drawn++) {
      EpochSampler resumed = new EpochSampler(rows, 4, 11);
      resumed.restore(whole.cursor());
      assertArrayEquals(whole.next().inputIds(), resumed.next().inputIds());
      assertEquals(whole.cursor(), resumed.cursor());
    }
    assertEquals(new EpochSampler.Cursor(2, 15), whole.cursor()); // 4 batches an epoch, 13 + 2 rows
  }

  @Test
  void listsAreJoinedAndSelectedWithoutReadingThem() {
    List<Example> joined = Examples.joined(List.of(examples(0, 2), examples(2, 0), examples(2, 3)));
    assertEquals(5, joined.size());
    for (int i = 0; i < 5; i++) {
      assertEquals(i, joined.get(i).inputIds()[0]);
      assertEquals(2, Examples.length(joined, i));
    }
    assertThrows(IndexOutOfBoundsException.class, () -> joined.get(5));
    List<Example> selected = Examples.selected(joined, new int[] {4, 0, 4});
    assertEquals(
        List.of(4, 0, 4), selected.stream().map(example -> example.inputIds()[0]).toList());
    assertThrows(UnsupportedOperationException.class, () -> selected.remove(0));
    assertTrue(Examples.unmodifiable(selected) == selected);
  }
}
