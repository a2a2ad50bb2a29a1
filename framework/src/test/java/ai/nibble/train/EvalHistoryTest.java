package ai.nibble.train;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Optional;
import org.junit.jupiter.api.Test;

class EvalHistoryTest {
  private static EvalHistory of(int patience, double threshold, double... losses) {
    EvalHistory history = new EvalHistory(new EndRules(true, patience, threshold));
    for (int i = 0; i < losses.length; i++) {
      history.add(10 * (i + 1), losses[i], true);
    }
    return history;
  }

  @Test
  void theBestIsTheLowestAndTheFirstOfEquals() {
    assertEquals(Optional.of(new EvalHistory.Saved(20, 1)), of(0, 0, 3, 1, 2, 1).best());
    assertEquals(Optional.empty(), of(0, 0, Double.NaN).best());
    assertEquals(Optional.of(new EvalHistory.Saved(20, 5)), of(0, 0, Double.NaN, 5).best());
  }

  @Test
  void aStepThatIsNotSavedCountsForStoppingAndIsNotTheBest() {
    EvalHistory history = of(2, 0, 3);
    history.add(15, 1, false);
    history.add(20, 2, true);
    assertEquals(Optional.of(new EvalHistory.Saved(20, 2)), history.best());
    assertFalse(history.isExhausted());
    history.add(25, 1.5, false);
    assertTrue(history.isExhausted());
  }

  @Test
  void patienceIsCountedInEvaluationsWithoutAGain() {
    assertFalse(of(2, 0, 3, 2, 2).isExhausted());
    assertTrue(of(2, 0, 3, 2, 2, 2.5).isExhausted());
    assertFalse(of(2, 0, 3, 2, 2, 1.9, 2).isExhausted());
    assertFalse(of(0, 0, 1, 2, 3, 4, 5).isExhausted());
    assertTrue(of(2, 0, 3, Double.NaN, Double.NaN).isExhausted());
  }

  /** As transformers: the threshold is against the lowest so far, which small gains lower, too. */
  @Test
  void aGainBelowTheThresholdIsNone() {
    assertTrue(of(2, 0.25, 3, 2.9, 2.8).isExhausted());
    assertFalse(of(2, 0.25, 3, 2.9, 2.5).isExhausted());
  }

  @Test
  void whatIsRestoredGoesOnAsIfItHadNotBeenSaved() {
    EvalHistory before = of(3, 0.1, 2.7182818284590452, 1.0 / 3, 1, 0.3);
    EvalHistory after = new EvalHistory(new EndRules(true, 3, 0.1));
    after.restore(before.state());
    assertEquals(before.state(), after.state());
    assertEquals(before.best(), after.best());
    assertTrue(after.has(40));
    assertFalse(after.has(30));
    before.add(50, 0.29, true);
    after.add(50, 0.29, true);
    assertEquals(before.isExhausted(), after.isExhausted());
    assertTrue(after.isExhausted());
  }
}
