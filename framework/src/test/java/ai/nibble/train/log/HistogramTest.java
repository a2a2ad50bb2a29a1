package ai.nibble.train.log;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.Arrays;
import org.junit.jupiter.api.Test;

class HistogramTest {
  @Test
  void everyValueIsInTheBucketThatEndsAtOrAboveIt() {
    double[] values = {3, 0, 1.5, 0.1, 0.1, 2.95};
    Histogram h = Histogram.of(values);
    assertEquals(30, h.limits().length); // each a tenth wide
    assertEquals(6, Arrays.stream(h.counts()).sum());
    assertEquals(3, h.counts()[0]); // 0, and 0.1 twice
    assertEquals(1, h.counts()[14]);
    assertEquals(2, h.counts()[29]);
    assertEquals(0, h.min());
    assertEquals(3, h.max());
    assertEquals(7.65, h.sum(), 1e-12);
    assertEquals(3, values[0], "the caller's order stays");
  }

  @Test
  void equalValuesAreOneBucket() {
    Histogram h = Histogram.of(new double[] {0.5, 0.5});
    assertArrayEquals(new double[] {0.5}, h.limits());
    assertArrayEquals(new double[] {2}, h.counts());
  }
}
