package ai.nibble.nn;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

class AttentionSpanTest {
  @Test
  void shortSequencesShareASpanAndLongOnesHaveTheirOwn() {
    assertEquals(
        List.of(
            new AttentionSpan(0, 8),
            new AttentionSpan(8, 30),
            new AttentionSpan(30, 39),
            new AttentionSpan(39, 40)),
        AttentionSpan.of(new int[] {0, 3, 8, 30, 35, 39, 40}, 9));
  }

  @Test
  void blocksCoverASpan() {
    AttentionSpan span = new AttentionSpan(10, 110);
    assertEquals(
        List.of(new AttentionSpan(10, 50), new AttentionSpan(50, 90), new AttentionSpan(90, 110)),
        span.blocks(40));
    assertEquals(List.of(span), span.blocks(100));
  }

  /** Scores are made within a span: more sequences cost in proportion, not squared. */
  @Test
  void theCostOfAttentionIsLinearInTheNumberOfSequences() {
    for (int length : new int[] {1, 30, 128, 129, 500}) {
      long thousand = cost(1_000, length);
      assertTrue(thousand <= 1_000L * length * Math.max(128, length), length + ": " + thousand);
      assertEquals(10 * thousand, cost(10_000, length), 0.02 * 10 * thousand);
    }
  }

  /** Pairs of tokens in one span. */
  private static long cost(int sequences, int length) {
    int[] starts = IntStream.rangeClosed(0, sequences).map(s -> s * length).toArray();
    return AttentionSpan.of(starts, 128).stream()
        .mapToLong(span -> (long) span.tokens() * span.tokens())
        .sum();
  }
}
