package ai.nibble.train;

import ai.nibble.checkpoint.PartState;
import ai.nibble.checkpoint.TrainerState;
import ai.nibble.data.Batch;
import ai.nibble.data.EpochPlan;
import ai.nibble.data.EpochSampler;
import ai.nibble.model.Trainable;
import ai.nibble.train.TrainStep.Outcome;
import ai.nibble.train.log.ProcessMemory;
import ai.nibble.train.log.RunNotice;
import ai.nibble.train.log.StepMetrics;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.function.Supplier;
import java.util.stream.Collectors;

/** A run's optimizer steps, one after the other: what each learns from, at what rate, and how. */
final class Steps {
  /** Tensors that a message names before it counts the others. */
  private static final int MOST_NAMED = 8;

  private final TrainSettings settings;
  private final EpochSampler sampler;
  private final TrainStep trainStep;
  private final Trainable trained;
  private final LossWatchdog watchdog;
  private boolean allLearn;
  private long tokensSeen;

  /** The step that is queued and not known; null where none is. */
  private Begun pending;

  private long started;

  Steps(
      TrainSettings settings,
      EpochPlan plan,
      TrainStep trainStep,
      Trainable trained,
      LossWatchdog watchdog) {
    this.settings = settings;
    this.sampler = new EpochSampler(plan, settings.microBatchSize());
    this.trainStep = trainStep;
    this.trained = trained;
    this.watchdog = watchdog;
  }

  /** A step that was done, and what is out of the ordinary with it. */
  record Done(StepMetrics metrics, Optional<RunNotice> notice) {}

  /**
   * Goes on from a checkpoint, of a run whose adapters all had gradients.
   *
   * @param position in its epoch
   */
  void restore(TrainerState state, int position) {
    sampler.restore(new EpochSampler.Cursor(state.epoch(), position));
    lossScale().restore(state.parts().getOrDefault(LossScale.PART, PartState.EMPTY));
    allLearn = true;
    tokensSeen = state.tokensSeen();
  }

  /** Where in its epoch the next step begins. */
  EpochSampler.Cursor cursor() {
    return sampler.cursor();
  }

  /** Epochs done, with the part of the one under way. */
  double epochs() {
    return sampler.epochs();
  }

  /** Tokens of all rows that were learned from. */
  long tokensSeen() {
    return tokensSeen;
  }

  LossScale lossScale() {
    return trainStep.lossScale();
  }

  /**
   * The next step. On a device it may be only queued, and the one before is what became known.
   *
   * @param done steps before it
   * @param end of a run that it ends
   * @return the step that is known now; empty where that is none yet
   * @throws TrainingStoppedException if the watchdog ends the run, or a tensor gets no gradient
   */
  Optional<Done> next(int done, BadEnd end) {
    Begun begun = begin(done);
    Optional<Done> before = settle(end);
    pending = begun;
    return begun.queued ? before : settle(end);
  }

  /** Waits for the step that is queued, if one is. */
  Optional<Done> settle(BadEnd end) {
    Begun begun = pending;
    pending = null;
    return begun == null ? Optional.empty() : Optional.of(done(begun, end));
  }

  /**
   * A step that was computed or queued.
   *
   * @param number from 1
   * @param epochs after it
   * @param tokens since the first step, with it
   * @param outcome what it did; a device is waited for
   * @param queued whether that is not known yet
   */
  private record Begun(
      int number,
      double learningRate,
      double epochs,
      long tokens,
      Supplier<Outcome> outcome,
      boolean queued) {}

  /** Whether a step is queued that is not known. */
  boolean isPending() {
    return pending != null;
  }

  /** Whether nothing hangs on what became of a step but the end of the run. */
  private boolean canQueue() {
    WatchdogSettings w = settings.watchdog();
    boolean prevents = w.onSpike() == OnSpike.SKIP || w.onSpike() == OnSpike.STOP;
    return allLearn && w.onNotFinite() == OnNotFinite.STOP && !prevents && trainStep.canQueue();
  }

  private Begun begin(int done) {
    started = pending == null ? System.nanoTime() : started;
    List<Batch> batches = nextBatches();
    // the schedule waits for a step whose gradients overflow float16, which another at a smaller
    // scale stands in for, as with torch's GradScaler. It does not wait for one that the watchdog
    // leaves out: the learning rate of a step does not depend on what went wrong before it
    int scheduled = done - lossScale().skipped();
    double learningRate = settings.learningRate() * settings.schedule().multiplier(scheduled);
    boolean queues = canQueue();
    Supplier<Outcome> outcome;
    if (queues) {
      outcome = trainStep.queue(batches, learningRate, dropoutKey(done));
    } else {
      Outcome known = trainStep.run(batches, learningRate, dropoutKey(done), watchdog.mostLoss());
      outcome = () -> known;
    }
    tokensSeen += batches.stream().mapToInt(Batch::tokens).sum();
    return new Begun(done + 1, learningRate, sampler.epochs(), tokensSeen, outcome, queues);
  }

  private Done done(Begun begun, BadEnd end) {
    Outcome outcome = begun.outcome.get();
    LossWatchdog.Verdict verdict = watchdog.judge(begun.number, outcome);
    if (verdict.stop()) {
      throw end.because(verdict.notice().orElseThrow().text(), outcome);
    }
    if (!allLearn && outcome.applied()) {
      stopUnlessAllLearn(begun.number);
    }
    long now = System.nanoTime();
    double tokensPerSecond = outcome.tokens() / ((now - started) / 1e9);
    started = now; // where the next one is queued, it has begun
    StepMetrics metrics =
        new StepMetrics(
            begun.number,
            settings.totalSteps(),
            begun.epochs,
            outcome.loss(),
            begun.learningRate,
            outcome.gradNorm(),
            tokensPerSecond,
            ProcessMemory.residentBytes(),
            begun.tokens,
            outcome.measures());
    return new Done(metrics, verdict.notice());
  }

  /** The micro-batches of a step; those of an epoch's last step may be fewer. */
  private List<Batch> nextBatches() {
    List<Batch> batches = new ArrayList<>(List.of(sampler.next()));
    while (batches.size() < settings.gradientAccumulationSteps() && !sampler.isAtEpochEnd()) {
      batches.add(sampler.next());
    }
    return batches;
  }

  private long dropoutKey(int step) {
    return settings.seed() * 0x9E3779B97F4A7C15L + step;
  }

  private void stopUnlessAllLearn(int step) {
    List<String> without = trained.withoutGradient();
    if (!without.isEmpty()) {
      int more = without.size() - MOST_NAMED;
      throw new TrainingStoppedException(
          "step "
              + step
              + ": no gradient reaches "
              + without.size()
              + " of the trained tensors ["
              + without.stream().limit(MOST_NAMED).collect(Collectors.joining(", "))
              + (more > 0 ? " and " + more + " more" : "")
              + "]: they would never learn");
    }
    allLearn = true;
  }
}
