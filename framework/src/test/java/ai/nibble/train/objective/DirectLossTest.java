package ai.nibble.train.objective;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.train.objective.DirectLoss.Constants;
import ai.nibble.train.objective.DirectLoss.Scores;
import ai.nibble.train.objective.DirectLoss.Slopes;
import java.util.function.DoubleUnaryOperator;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * The formulas of the losses by themselves: their slopes, their ends, and some of their numbers.
 */
class DirectLossTest {
  private static final Constants CONSTANTS = new Constants(0.7, 0.1);
  private static final double STEP = 1e-5;

  /**
   * Central differences of a step of 1e-5: their error is a third derivative (of discopop's at most
   * 1e5, as τ is 0.05 and a curve of it turns within that) times 1e-10 / 6, and rounding of 1e-16
   * over the step.
   */
  private static final double TOLERANCE = 1e-5;

  private static double slope(DoubleUnaryOperator f, double at) {
    return (f.applyAsDouble(at + STEP) - f.applyAsDouble(at - STEP)) / (2 * STEP);
  }

  @ParameterizedTest
  @EnumSource
  void slopesAreThoseOfFiniteDifferences(DirectLoss loss) {
    int slopes = 0;
    for (double x : new double[] {-7, -1.3, -0.02, 0.4, 2.1, 9}) {
      for (double y : new double[] {-6, -0.9, 0.03, 1.7, 5}) {
        Slopes here = loss.of(new Scores(x, y, 4, 7), CONSTANTS);
        double byX = slope(at -> loss.of(new Scores(at, y, 4, 7), CONSTANTS).value(), x);
        double byY = slope(at -> loss.of(new Scores(x, at, 4, 7), CONSTANTS).value(), y);
        double scale = Math.max(1, here.value());
        assertEquals(byX, here.byChosen(), TOLERANCE * scale, x + " and " + y);
        assertEquals(byY, here.byRejected(), TOLERANCE * scale, x + " and " + y);
        slopes += here.byChosen() != 0 ? 1 : 0;
      }
    }
    assertTrue(slopes > 10, slopes + " slopes");
  }

  /** Of an answer that the model makes much likelier or much less likely than the reference. */
  @ParameterizedTest
  @EnumSource
  void noScoreIsTooLargeForALoss(DirectLoss loss) {
    for (double x : new double[] {-3000, 0, 3000}) {
      for (double y : new double[] {-3000, 0, 3000}) {
        Slopes here = loss.of(new Scores(x, y, 4, 7), CONSTANTS);
        String what = x + " and " + y + ": " + here;
        assertTrue(Double.isFinite(here.value()), what);
        assertTrue(Double.isFinite(here.byChosen()) && Double.isFinite(here.byRejected()), what);
      }
    }
  }

  @ParameterizedTest
  @EnumSource
  void aScoreOfADivergenceHasTheSlopeOfFiniteDifferences(FDivergence divergence) {
    for (double alpha : new double[] {0.3, 0.5, 1, 1.8}) {
      for (double ratio : new double[] {-4, -0.2, 0.01, 1.5, 6}) {
        double expected = slope(at -> divergence.score(at, alpha).value(), ratio);
        double slope = divergence.score(ratio, alpha).slope();
        assertEquals(expected, slope, TOLERANCE * Math.max(1, slope), alpha + " at " + ratio);
      }
      assertEquals(0, divergence.score(0, alpha).value(), 1e-15);
    }
  }

  /** Where TRL stops: beyond it the score is what it was, and nothing is learned. */
  @Test
  void aPowerOfAnEnormousRatioEndsWhereFloat32Does() {
    Logistic.Point beyond = FDivergence.ALPHA_DIVERGENCE.score(200, 1.5);
    assertEquals((Math.exp(80) - 1) / 0.5, beyond.value(), 1e20);
    assertEquals(0, beyond.slope());
  }

  /** Of an answer that is as likely as the reference has it, with β = 0.7 and ε = 0.1. */
  @ParameterizedTest
  @CsvSource({
    "SIGMOID, 0.6931471805599453",
    "HINGE, 1",
    "IPO, 0.5102040816326531",
    "ROBUST, 0.6931471805599453",
    "EXO_PAIR, 0.5108256237659907",
    "NCA_PAIR, 1.3862943611198906",
    "BCO_PAIR, 1.3862943611198906",
    "SPPO_HARD, 1.0204081632653061",
    "APO_ZERO, 1",
    "APO_DOWN, 1",
    "DISCOPOP, 0.8465735902799727",
    "SIGMOID_NORM, 0.6931471805599453"
  })
  void beforeAnythingIsLearnedALossIsWhatItsFormulaSays(DirectLoss loss, double expected) {
    assertEquals(expected, loss.of(new Scores(0, 0, 4, 7), CONSTANTS).value(), 1e-12);
  }

  @Test
  void everyLossSaysWhatItTakes() {
    assertTrue(DirectLoss.EXO_PAIR.needsSmoothing() && DirectLoss.EXO_PAIR.isSmoothed());
    assertFalse(DirectLoss.ROBUST.needsSmoothing() || DirectLoss.HINGE.isSmoothed());
    assertTrue(DirectLoss.DISCOPOP.isOfDifference() && DirectLoss.SIGMOID.isOfDifference());
    assertFalse(DirectLoss.NCA_PAIR.isOfDifference() || DirectLoss.APO_DOWN.isOfDifference());
  }
}
