package ai.nibble.report;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

class LengthsTest {
  @Test
  void shortRowsHaveABucketEach() {
    Lengths lengths = Lengths.of(new int[] {3, 1, 3, 2, 9});
    assertEquals(1, lengths.width());
    assertEquals(List.of(0, 1, 1, 2, 0, 0, 0, 0, 0, 1), lengths.counts());
    assertEquals(1, lengths.shortest());
    assertEquals(3, lengths.median());
    assertEquals(9, lengths.p95());
    assertEquals(9, lengths.longest());
  }

  @Test
  void everyRowIsInOneOfAtMostFortyBuckets() {
    for (int longest : new int[] {1, 39, 40, 41, 4095, 4096, 131_072, Integer.MAX_VALUE}) {
      Lengths lengths = Lengths.of(new int[] {longest, 1, longest / 2 + 1});
      assertTrue(lengths.counts().size() <= 40, longest + ": " + lengths.counts().size());
      assertEquals(3, lengths.counts().stream().mapToInt(n -> n).sum());
    }
  }

  @Test
  void nineteenOfTwentyAreNotLongerThanP95() {
    Lengths lengths = Lengths.of(IntStream.rangeClosed(1, 100).toArray());
    assertEquals(50, lengths.median());
    assertEquals(95, lengths.p95());
  }
}
