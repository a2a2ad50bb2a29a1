package ai.nibble.train;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.train.log.RunNotice;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

class LossWatchdogTest {
  private static final double NONE = Double.POSITIVE_INFINITY;

  private final List<RunNotice> notices = new ArrayList<>();
  private int step;

  private static WatchdogSettings settings(OnSpike onSpike, double threshold, int plateau) {
    return new WatchdogSettings(OnNotFinite.SKIP, onSpike, 3, threshold, 3, plateau);
  }

  /** A step with this loss; whether the run stops. */
  private boolean step(LossWatchdog watchdog, double loss, double norm) {
    boolean applied = Double.isFinite(loss) && !(loss > watchdog.mostLoss());
    double seen = applied ? norm : Double.NaN;
    boolean good = applied && Double.isFinite(norm);
    LossWatchdog.Verdict verdict =
        watchdog.judge(++step, new TrainStep.Outcome(loss, seen, 10, good));
    verdict.notice().ifPresent(notices::add);
    return verdict.stop();
  }

  private void steady(LossWatchdog watchdog, int steps) {
    for (int i = 0; i < steps; i++) {
      assertFalse(step(watchdog, 1 + (i % 3) * 0.1, 0.5));
    }
  }

  private String last() {
    return notices.get(notices.size() - 1).text();
  }

  @Test
  void aSoundRunIsQuiet() {
    LossWatchdog watchdog = new LossWatchdog(settings(OnSpike.WARN, 20, 0));
    Random random = new Random(1);
    for (int i = 0; i < 1000; i++) {
      double loss = 3 * Math.exp(-i / 300.0) * (0.6 + 0.8 * random.nextDouble());
      assertFalse(step(watchdog, loss, Math.exp(random.nextGaussian())));
    }
    assertEquals(List.of(), notices);
    assertEquals(0, watchdog.skipped());
    assertEquals(1000, watchdog.lastApplied());
  }

  @Test
  void whatIsNotFiniteIsToldAndStopsTheRunOnceItIsTooOftenInARow() {
    LossWatchdog watchdog = new LossWatchdog(settings(OnSpike.OFF, NONE, 0));
    steady(watchdog, 3);
    assertFalse(step(watchdog, Double.NaN, 1));
    assertEquals(
        "step 4: loss NaN, expected finite numbers: not applied (1 in a row, the"
            + " run stops at 3)",
        last());
    assertFalse(step(watchdog, 1, NONE), "a gradient that is infinite");
    assertEquals(RunNotice.Kind.NOT_FINITE, notices.get(1).kind());
    steady(watchdog, 1);
    assertFalse(step(watchdog, NONE, 1));
    assertFalse(step(watchdog, NONE, 1));
    assertTrue(step(watchdog, NONE, 1));
    assertTrue(last().endsWith("expected finite numbers, 3 such steps in a row"), last());
    assertEquals(5, watchdog.skipped());
    assertEquals(6, watchdog.lastApplied());
  }

  @ParameterizedTest
  @EnumSource(OnSpike.class)
  void aSpikeIsByTheMedianBeforeIt(OnSpike onSpike) {
    LossWatchdog watchdog = new LossWatchdog(settings(onSpike, NONE, 0));
    steady(watchdog, 20);
    assertFalse(step(watchdog, 2.9, 0.5), "less than three times 1.1");
    assertEquals(0, notices.size());
    assertEquals(onSpike == OnSpike.STOP, step(watchdog, 1e6, 0.5));
    assertEquals(onSpike == OnSpike.OFF ? 0 : 1, notices.size());
    boolean applied = onSpike == OnSpike.OFF || onSpike == OnSpike.WARN;
    assertEquals(applied ? 22 : 21, watchdog.lastApplied());
    if (onSpike != OnSpike.OFF) {
      // of a loss that is not applied there is no norm
      String next = applied ? "gradient norm " : "expected a loss of at most ";
      assertTrue(last().startsWith("step 22: loss 1.000e+06, " + next), last());
      assertEquals(RunNotice.Kind.SPIKE, notices.get(0).kind());
    }
  }

  @Test
  void spikesOneAfterTheOtherThatAreNotAppliedStopTheRun() {
    LossWatchdog watchdog = new LossWatchdog(settings(OnSpike.SKIP, NONE, 0));
    steady(watchdog, 20);
    assertFalse(step(watchdog, 9, 1));
    assertFalse(step(watchdog, 9, 1));
    assertTrue(step(watchdog, 9, 1));
    assertTrue(
        last().endsWith("expected a loss of at most 3.300 as of late, 3 such steps in a row"),
        last());
  }

  /** A gradient that is not finite is that, however high the loss is. */
  @Test
  void aSpikeWithoutFiniteGradientsStopsWhereWhatIsNotFiniteDoes() {
    LossWatchdog watchdog =
        new LossWatchdog(new WatchdogSettings(OnNotFinite.STOP, OnSpike.WARN, 3, NONE, 3, 0));
    steady(watchdog, 20);
    assertTrue(step(watchdog, 50, NONE));
    assertEquals(RunNotice.Kind.NOT_FINITE, notices.get(0).kind());
  }

  @Test
  void aLossNearZeroDoesNotSpikeByItsNoise() {
    LossWatchdog watchdog = new LossWatchdog(settings(OnSpike.STOP, NONE, 0));
    for (int i = 0; i < 20; i++) {
      step(watchdog, 0.001, 0.01);
    }
    assertFalse(step(watchdog, 0.9, 0.01));
    assertTrue(step(watchdog, 1.1, 0.01));
  }

  @Test
  void gradientsFarAboveTheirMedianAreTold() {
    LossWatchdog watchdog = new LossWatchdog(settings(OnSpike.WARN, NONE, 0));
    steady(watchdog, 20);
    assertFalse(step(watchdog, 1, 49));
    assertEquals(0, notices.size());
    assertFalse(step(watchdog, 1, 5e5));
    assertTrue(last().endsWith("a norm over 100 times the median before it"), last());
  }

  @Test
  void aLossAboveTheThresholdStopsTheRunOnceItIsTooOftenInARow() {
    LossWatchdog watchdog = new LossWatchdog(settings(OnSpike.OFF, 5, 0));
    assertFalse(step(watchdog, 6, 1));
    assertFalse(step(watchdog, 7, 1));
    steady(watchdog, 1);
    assertFalse(step(watchdog, 6, 1));
    assertFalse(step(watchdog, 6, 1));
    assertTrue(step(watchdog, 6, 1));
    assertTrue(last().contains("above loss_watchdog_threshold 5.000"), last());
    assertEquals(RunNotice.Kind.HIGH_LOSS, notices.get(0).kind());
    assertEquals(0, watchdog.skipped(), "they are applied");
  }

  @Test
  void aLossThatNoLongerFallsIsToldOncePerWindow() {
    LossWatchdog watchdog = new LossWatchdog(settings(OnSpike.OFF, NONE, 10));
    for (int i = 0; i < 40; i++) {
      step(watchdog, 3 - i * 0.01, 1);
    }
    assertEquals(0, notices.size());
    for (int i = 0; i < 40; i++) {
      assertFalse(step(watchdog, 2.6, 1));
    }
    assertEquals(3, notices.size(), notices.toString());
    assertEquals(
        "step 56: the loss no longer falls: its median is 2.6000 over the last 10 steps, 2.6000"
            + " over those before",
        notices.get(0).text());
  }

  @Test
  void whatIsRestoredGoesOnAsIfItHadNotBeenSaved() {
    WatchdogSettings settings = settings(OnSpike.SKIP, 4, 10);
    double[] losses = new Random(5).doubles(200, 0.5, 2).toArray();
    losses[60] = Double.NaN;
    losses[100] = 1e6;
    losses[101] = 1e6;
    for (int cut = 0; cut <= 150; cut += 25) {
      LossWatchdog whole = new LossWatchdog(settings);
      LossWatchdog resumed = new LossWatchdog(settings);
      for (int i = 0; i < losses.length; i++) {
        if (i == cut) {
          LossWatchdog fresh = new LossWatchdog(settings);
          fresh.restore(resumed.state());
          resumed = fresh;
        }
        assertEquals(whole.mostLoss(), resumed.mostLoss());
        TrainStep.Outcome outcome = outcome(whole, losses[i]);
        assertEquals(whole.judge(i + 1, outcome), resumed.judge(i + 1, outcome));
      }
      assertEquals(whole.state(), resumed.state());
      assertEquals(3, whole.skipped());
    }
  }

  /** An update is proven by the next finite loss, and doubted only once something is wrong. */
  @Test
  void weightsAreInDoubtWhereSomethingIsWrongAndNoFiniteLossWasComputedWithThem() {
    LossWatchdog watchdog = new LossWatchdog(settings(OnSpike.OFF, 5, 0));
    step(watchdog, Double.NaN, 1);
    assertTrue(watchdog.isDoubtful(), "those before the first step");
    steady(watchdog, 3);
    assertFalse(watchdog.isDoubtful(), "nothing is wrong");
    step(watchdog, Double.NaN, 1);
    assertTrue(watchdog.isDoubtful());
    step(watchdog, 1, Double.NaN);
    assertFalse(watchdog.isDoubtful(), "their loss is finite, whatever its gradients are");
    steady(watchdog, 1);
    step(watchdog, Double.NaN, 1);
    watchdog.evaluated(2);
    assertFalse(watchdog.isDoubtful(), "evaluated");
    steady(watchdog, 1);
    watchdog.evaluated(Double.NaN);
    assertTrue(watchdog.isDoubtful(), "evaluated");
    steady(watchdog, 1);
    assertFalse(watchdog.isDoubtful(), "the loss was finite");
    step(watchdog, 6, 1);
    assertTrue(watchdog.isDoubtful(), "applied, though the loss is too high");
  }

  private static TrainStep.Outcome outcome(LossWatchdog watchdog, double loss) {
    boolean applied = Double.isFinite(loss) && !(loss > watchdog.mostLoss());
    return new TrainStep.Outcome(loss, applied ? 1 / loss : Double.NaN, 1, applied);
  }
}
