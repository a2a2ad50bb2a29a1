package ai.nibble.train.log;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.micrometer.core.instrument.Gauge;
import io.micrometer.core.instrument.MockClock;
import io.micrometer.core.instrument.Timer;
import io.micrometer.core.instrument.simple.SimpleConfig;
import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import java.nio.file.Path;
import java.time.Duration;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;

class MicrometerMetricsTest {
  private final MockClock clock = new MockClock();
  private final SimpleMeterRegistry registry = new SimpleMeterRegistry(SimpleConfig.DEFAULT, clock);

  private void step(MicrometerMetrics metrics, int step, double loss, long tokens) {
    metrics.stepStarted(step);
    clock.add(Duration.ofSeconds(3));
    metrics.stepEnded(new StepMetrics(step, 9, 0.5, loss, 2e-4, 0.75, 1000, 1L << 30, tokens));
  }

  private double gauge(String name, String run) {
    Gauge gauge = registry.find(name).tag("run", run).gauge();
    return gauge.value();
  }

  private double tokens() {
    return registry.get("nibble.train.tokens").tag("run", "a").counter().count();
  }

  @Test
  void metersFollowTheRun() {
    MicrometerMetrics metrics = new MicrometerMetrics(registry);
    metrics.answered(new AnswerMetrics(0, 1, 4, 20, 1));
    metrics.runStarted(new RunInfo("a", 0, 9, ""));
    assertTrue(Double.isNaN(gauge("nibble.train.loss", "a")));
    step(metrics, 1, 2.5, 100);
    step(metrics, 2, 1.5, 250);
    metrics.evaluationStarted(2);
    clock.add(Duration.ofSeconds(5));
    metrics.evaluated(new EvalMetrics(2, 0.5, 1.25, 99, 5));
    metrics.saveStarted(2);
    clock.add(Duration.ofSeconds(1));
    metrics.saved(Path.of("checkpoint-2"));
    assertEquals(1.5, gauge("nibble.train.loss", "a"));
    assertEquals(2e-4, gauge("nibble.train.learning.rate", "a"));
    assertEquals(0.75, gauge("nibble.train.grad.norm", "a"));
    assertEquals(0.5, gauge("nibble.train.epoch", "a"));
    assertEquals(1L << 30, gauge("nibble.train.memory", "a"));
    assertEquals(1.25, gauge("nibble.eval.loss", "a"));
    assertEquals(0.25, gauge("nibble.eval.exact.match", "a"));
    assertEquals(250, tokens());
    Timer steps = registry.get("nibble.train.step").tag("run", "a").timer();
    assertEquals(2, steps.count());
    assertEquals(6, steps.totalTime(TimeUnit.SECONDS));
    assertEquals(5, registry.get("nibble.eval").timer().totalTime(TimeUnit.SECONDS));
    assertEquals(1, registry.get("nibble.save").timer().totalTime(TimeUnit.SECONDS));
  }

  @Test
  void aRunThatIsGoneOnWithCountsWhatItDoesItself() {
    MicrometerMetrics first = new MicrometerMetrics(registry);
    first.runStarted(new RunInfo("a", 0, 9, ""));
    step(first, 1, 2.5, 100);
    MicrometerMetrics second = new MicrometerMetrics(registry);
    second.runStarted(new RunInfo("a", 1, 9, ""));
    step(second, 2, 2, 150); // its first step: how many of these were its own is not known
    step(second, 3, 1, 210);
    assertEquals(160, tokens());
    assertEquals(1, gauge("nibble.train.loss", "a"), "of the later run");
  }

  @Test
  void runsOfOtherNamesStandBesideEachOther() {
    for (String name : new String[] {"a", "b"}) {
      MicrometerMetrics metrics = new MicrometerMetrics(registry);
      metrics.runStarted(new RunInfo(name, 0, 9, ""));
      step(metrics, 1, name.equals("a") ? 1 : 2, 10);
    }
    assertEquals(1, gauge("nibble.train.loss", "a"));
    assertEquals(2, gauge("nibble.train.loss", "b"));
  }
}
