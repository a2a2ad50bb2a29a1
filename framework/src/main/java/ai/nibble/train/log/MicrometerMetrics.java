package ai.nibble.train.log;

import io.micrometer.core.instrument.Counter;
import io.micrometer.core.instrument.Gauge;
import io.micrometer.core.instrument.MeterRegistry;
import io.micrometer.core.instrument.Tags;
import io.micrometer.core.instrument.Timer;
import java.nio.file.Path;
import java.util.function.DoubleSupplier;

/**
 * The run as meters of Micrometer, for applications that train inside themselves and are watched.
 * Needs {@code io.micrometer:micrometer-core} on the class path, which Nibble does not bring.
 *
 * <p>With the tag {@code run}, the run's name: gauges {@code nibble.train.loss}, {@code
 * nibble.train.learning.rate}, {@code nibble.train.grad.norm}, {@code nibble.train.epoch}, {@code
 * nibble.train.memory} (bytes), {@code nibble.eval.loss} and {@code nibble.eval.exact.match} (the
 * latest; not a number before the first), the counter {@code nibble.train.tokens}, and timers
 * {@code nibble.train.step}, {@code nibble.eval}, {@code nibble.save}. They stay in the registry
 * when the run is over; a later run of the same name goes on with them.
 */
public final class MicrometerMetrics implements TrainListener {
  private static final StepMetrics NONE =
      new StepMetrics(0, 0, Double.NaN, Double.NaN, Double.NaN, Double.NaN, Double.NaN, 0, 0);

  private final MeterRegistry registry;
  private Tags tags = Tags.empty();
  private Timer.Sample step;
  private Timer.Sample evaluation;
  private Timer.Sample save;
  private long tokens = -1;

  // read by those who publish the registry, from threads of their own
  private volatile StepMetrics lastStep = NONE;
  private volatile double evalLoss = Double.NaN;
  private volatile double exactMatch = Double.NaN;

  /**
   * @param registry meters are made there when the run starts
   */
  public MicrometerMetrics(MeterRegistry registry) {
    this.registry = registry;
  }

  @Override
  public void runStarted(RunInfo run) {
    tags = Tags.of("run", run.name());
    // those of a run that begins anew count from 0; what a resumed one did before is not counted
    tokens = run.firstStep() == 0 ? 0 : -1;
    gauge("nibble.train.loss", null, () -> lastStep.loss());
    gauge("nibble.train.learning.rate", null, () -> lastStep.learningRate());
    gauge("nibble.train.grad.norm", null, () -> lastStep.gradNorm());
    gauge("nibble.train.epoch", null, () -> lastStep.epoch());
    gauge("nibble.train.memory", "bytes", () -> lastStep.memoryBytes());
    gauge("nibble.eval.loss", null, () -> evalLoss);
    gauge("nibble.eval.exact.match", null, () -> exactMatch);
  }

  /** Replaces one that an earlier run of this name left: a registry keeps the first. */
  private void gauge(String name, String unit, DoubleSupplier value) {
    Gauge earlier = registry.find(name).tags(tags).gauge();
    if (earlier != null) {
      registry.remove(earlier);
    }
    Gauge.builder(name, value::getAsDouble)
        .tags(tags)
        .baseUnit(unit)
        .strongReference(true)
        .register(registry);
  }

  @Override
  public void stepStarted(int number) {
    step = Timer.start(registry);
  }

  @Override
  public void stepEnded(StepMetrics metrics) {
    step.stop(registry.timer("nibble.train.step", tags));
    if (tokens >= 0) {
      Counter.builder("nibble.train.tokens")
          .tags(tags)
          .baseUnit("tokens")
          .register(registry)
          .increment(metrics.tokens() - tokens);
    }
    tokens = metrics.tokens();
    lastStep = metrics;
  }

  @Override
  public void evaluationStarted(int stepsDone) {
    evaluation = Timer.start(registry);
  }

  @Override
  public void evaluated(EvalMetrics metrics) {
    evaluation.stop(registry.timer("nibble.eval", tags));
    evalLoss = metrics.evalLoss();
  }

  @Override
  public void answered(AnswerMetrics metrics) {
    exactMatch = metrics.exactMatch();
  }

  @Override
  public void saveStarted(int stepsDone) {
    save = Timer.start(registry);
  }

  @Override
  public void saved(Path path) {
    save.stop(registry.timer("nibble.save", tags));
  }
}
