package ai.nibble.nn;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.List;
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
}
