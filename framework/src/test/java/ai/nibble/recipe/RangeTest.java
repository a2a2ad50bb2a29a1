package ai.nibble.recipe;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Intervals, and numbers as they are shown. */
final class RangeTest {
  @Test
  void roundBracketsLeaveTheEndOut() {
    Range range = Range.parse("(0, 1]");
    assertFalse(range.contains(0));
    assertTrue(range.contains(Double.MIN_VALUE));
    assertTrue(range.contains(1));
    assertFalse(range.contains(Math.nextUp(1.0)));
    assertFalse(range.contains(Double.NaN));
    assertFalse(Range.parse("[0, inf)").contains(Double.POSITIVE_INFINITY));
  }

  @ParameterizedTest
  @CsvSource({
    "0, 0",
    "1, 1",
    "0.05, 0.05",
    "2e-4, 2e-4",
    "1e-8, 1e-8",
    "0.001, 0.001",
    "1.5e-5, 1.5e-5",
    "123456789.5, 123456789.5",
    "1e20, 1e20",
    "100, 100",
    "-0.5, -0.5"
  })
  void numbersAreShownAsPeopleWriteThem(double x, String shown) {
    assertEquals(shown, Range.shown(x));
  }

  @Test
  void shownNumbersReadBackBitForBit() {
    Random random = new Random(1);
    for (int i = 0; i < 10_000; i++) {
      double x = Double.longBitsToDouble(random.nextLong());
      if (Double.isFinite(x)) {
        assertEquals(x, Double.parseDouble(Range.shown(x)));
        assertTrue(ScalarKind.of(Range.shown(x)).isNumber(), Range.shown(x));
      }
    }
  }
}
