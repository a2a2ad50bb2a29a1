package ai.nibble.train;

import ai.nibble.InvalidInputException;
import ai.nibble.checkpoint.PartState;
import ai.nibble.checkpoint.SavedCheckpoint;
import ai.nibble.checkpoint.TrainerState;
import ai.nibble.data.Batch;
import ai.nibble.data.EpochPlan;
import ai.nibble.data.EpochSampler;
import ai.nibble.data.Example;
import ai.nibble.data.TrainingRows;
import ai.nibble.lora.AdapterNames;
import ai.nibble.model.CausalLm;
import ai.nibble.model.Trainable;
import ai.nibble.optim.Optimizer;
import ai.nibble.optim.ParameterRange;
import ai.nibble.tensor.OutOfMemoryException;
import ai.nibble.train.EvalHistory.Saved;
import ai.nibble.train.log.EvalMetrics;
import ai.nibble.train.log.ProcessMemory;
import ai.nibble.train.log.RunEnd;
import ai.nibble.train.log.RunInfo;
import ai.nibble.train.log.RunNotice;
import ai.nibble.train.log.RunNotice.Kind;
import ai.nibble.train.log.StepMetrics;
import ai.nibble.train.log.TrainListener;
import ai.nibble.train.log.UpdateNorms;
import ai.nibble.train.objective.Objective;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.OptionalInt;
import java.util.UUID;
import java.util.function.BooleanSupplier;
import java.util.function.Supplier;
import java.util.stream.Collectors;

/** The training loop: steps, evaluations, checkpoints, and what was trained at the end. */
public final class Trainer {
  /** Tensors that a message names before it counts the others. */
  private static final int MOST_NAMED = 8;

  private final Trainable trained;
  private final TrainSettings settings;
  private final EpochPlan plan;
  private final EvalRows evalRows;
  private final List<TrainListener> listeners;
  private final EpochSampler sampler;
  private final Optimizer optimizer;
  private final TrainStep trainStep;
  private final EvalHistory evaluations;
  private final LossWatchdog watchdog;
  private final HeapBound heap = new HeapBound();
  private String runId = UUID.randomUUID().toString();

  private RunFolder folder;
  private Optional<Path> from = Optional.empty();

  /** Optimizer steps done. */
  private int done;

  /** The step that the result is of, where it is an earlier one. */
  private OptionalInt restored = OptionalInt.empty();

  /** Of them, those that are in a checkpoint. */
  private int saved;

  /** Whether a checkpoint was due while the weights were in doubt. */
  private boolean owed;

  private boolean allLearn;
  private int measuredStep = -1;
  private long tokensSeen;
  private BooleanSupplier stopWhen = () -> false;

  /**
   * @param trained of the model, or on it; its parameters are what is trained
   * @param rows at least one, each with a token that carries loss
   * @param evalRows may be empty
   * @param listeners hear of every step, in this order
   */
  public Trainer(
      CausalLm model,
      Trainable trained,
      Objective objective,
      TrainSettings settings,
      List<Example> rows,
      List<Example> evalRows,
      List<TrainListener> listeners) {
    this(model, trained, objective, settings, TrainingRows.of(rows), evalRows, listeners);
  }

  /**
   * @param trained of the model, or on it; its parameters are what is trained
   * @param rows each with a token that carries loss
   * @param evalRows may be empty
   * @param listeners hear of every step, in this order
   */
  public Trainer(
      CausalLm model,
      Trainable trained,
      Objective objective,
      TrainSettings settings,
      TrainingRows rows,
      List<Example> evalRows,
      List<TrainListener> listeners) {
    this(
        Workers.alone(new Replica(model, trained, objective)),
        trained,
        settings,
        rows,
        evalRows,
        listeners);
  }

  /**
   * @param workers that compute micro-batches; they stay the caller's
   * @param trained what the first worker trains, as it is to be saved
   * @param rows each with a token that carries loss
   * @param evalRows may be empty
   * @param listeners hear of every step, in this order
   */
  public Trainer(
      Workers workers,
      Trainable trained,
      TrainSettings settings,
      TrainingRows rows,
      List<Example> evalRows,
      List<TrainListener> listeners) {
    this.trained = trained;
    this.settings = settings;
    this.plan = new EpochPlan(rows, settings.order(), settings.seed());
    this.sampler = new EpochSampler(plan, settings.microBatchSize());
    this.evalRows = new EvalRows(workers, evalRows, settings);
    this.listeners = List.copyOf(listeners);
    this.optimizer =
        settings
            .optimizer()
            .over(
                trained.parameters(),
                ParameterRange.decayingMatrices(
                    trained.parameters(),
                    settings.optimizer().weightDecay(),
                    name -> AdapterNames.isLoraB(name) ? settings.loraPlusLrRatio() : 1));
    this.trainStep =
        new TrainStep(
            workers,
            optimizer,
            settings.maxGradNorm(),
            settings.checkpointing(),
            settings.neftuneNoiseAlpha());
    this.evaluations = new EvalHistory(settings.end());
    this.watchdog = new LossWatchdog(settings.watchdog());
  }

  /**
   * Goes on from a checkpoint instead of the first step; what follows is, to the bit, what would
   * have followed it.
   *
   * @param checkpoint of a run with the same settings, base and rows: see {@link
   *     SavedCheckpoint#differences}
   * @return false where the rows came in another order or in other packs then: the checkpoint's
   *     epoch begins again
   * @throws InvalidInputException if it is of other parameters or rows; nothing has changed then
   */
  public boolean resume(SavedCheckpoint checkpoint) {
    TrainerState state = checkpoint.state();
    boolean sameOrder = state.order().equals(settings.order().toString());
    int units = plan.units(state.epoch());
    int position = sameOrder ? state.position() : 0;
    if (state.step() > settings.totalSteps() || position > units) {
      String unit = settings.order().unit();
      throw new InvalidInputException(
          checkpoint.directory()
              + ": is at step "
              + state.step()
              + " and "
              + unit
              + " "
              + position
              + ", but this run has "
              + settings.totalSteps()
              + " steps and "
              + units
              + " "
              + unit
              + "s");
    }
    checkpoint.restore(trained.parameters(), optimizer);
    sampler.restore(new EpochSampler.Cursor(state.epoch(), position));
    evaluations.restore(state.parts().getOrDefault(EvalHistory.PART, PartState.EMPTY));
    watchdog.restore(state.parts().getOrDefault(LossWatchdog.PART, PartState.EMPTY));
    trainStep.lossScale().restore(state.parts().getOrDefault(LossScale.PART, PartState.EMPTY));
    runId = state.runId();
    from = Optional.of(checkpoint.directory());
    done = state.step();
    saved = done;
    allLearn = true;
    tokensSeen = state.tokensSeen();
    return sameOrder;
  }

  /**
   * Ends the run early, with a checkpoint, when asked to: by {@link TrainingInterruptedException}.
   *
   * @param condition looked at after every step and every batch of an evaluation
   */
  public void stopWhen(BooleanSupplier condition) {
    stopWhen = condition;
  }

  /** Optimizer steps done. */
  public int stepsDone() {
    return done;
  }

  /** The step whose weights are trained now: the last, or after {@link #run} the best. */
  public int resultStep() {
    return restored.orElse(done);
  }

  /**
   * Trains to the last step, or until the evaluation loss no longer falls, and writes the result.
   *
   * @param run where to, and what identifies it
   * @return the result's evaluation loss; empty without rows to evaluate on
   * @throws TrainingStoppedException if the loss or a gradient is not finite, an adapter gets no
   *     gradient, or a checkpoint cannot be written; what is left is named
   * @throws TrainingInterruptedException if it was asked to stop; a checkpoint has been written
   */
  public OptionalDouble run(RunPlace run) {
    Optional<RunFolder.Saved> begun = from.map(path -> new RunFolder.Saved(path, done));
    folder = new RunFolder(run, trained, optimizer, listeners, settings.saveTotalLimit(), begun);
    long start = System.nanoTime();
    RunInfo info = new RunInfo(run.name(), done, settings.totalSteps(), run.recipe());
    String reason = "failed";
    listeners.forEach(l -> l.runStarted(info));
    try {
      folder.claim(done);
      OptionalDouble evalLoss = steps(run);
      OptionalDouble best = settings.end().loadBest() ? takeBest() : OptionalDouble.empty();
      if (best.isEmpty() && watchdog.isDoubtful()) {
        throw new TrainingStoppedException("the run ends after step " + done + "; " + unproven());
      }
      measure();
      folder.finish(done);
      reason = reasonOfEnd();
      return best.isPresent() ? best : evalLoss;
    } catch (TrainingInterruptedException e) {
      reason = "stopped";
      throw e;
    } catch (RuntimeException e) {
      reason = "failed: " + e.getMessage();
      throw e;
    } finally {
      RunEnd end = new RunEnd(done, (System.nanoTime() - start) / 1e9, reason);
      listeners.forEach(l -> l.runEnded(end));
    }
  }

  /** The last evaluation's loss. */
  private OptionalDouble steps(RunPlace run) {
    // one that was under way when the checkpoint was written has still to be done
    OptionalDouble evalLoss = done > 0 ? evaluateIfDue() : OptionalDouble.empty();
    while (!isOver()) {
      listeners.forEach(l -> l.stepStarted(done + 1));
      Step step = inMemory("step " + (done + 1), this::step);
      done++;
      listeners.forEach(l -> l.stepEnded(step.metrics()));
      step.notice().ifPresent(this::tell);
      OptionalDouble evaluated = evaluateIfDue();
      evalLoss = evaluated.isPresent() ? evaluated : evalLoss;
      if (isDue(settings.saveSteps()) || owed) {
        owed = !saveUnlessDoubtful(run);
      }
      if (!isOver() && stopWhen.getAsBoolean()) {
        throw saved == done || saveUnlessDoubtful(run)
            ? new TrainingInterruptedException(done, settings.totalSteps())
            : new TrainingInterruptedException(done, settings.totalSteps(), unproven());
      }
    }
    return evalLoss;
  }

  private boolean isOver() {
    return isLast() || evaluations.isExhausted();
  }

  private boolean isLast() {
    return done == settings.totalSteps();
  }

  private String reasonOfEnd() {
    String how =
        evaluations.isExhausted() && !isLast()
            ? String.format(
                Locale.ROOT, "stopped early (no eval_loss below %.4f)", evaluations.lowest())
            : "finished";
    int skipped = watchdog.skipped();
    return skipped == 0 ? how : how + " (" + skipped + " steps not applied)";
  }

  /** Empty where none was due, or it was asked to stop meanwhile. */
  private OptionalDouble evaluateIfDue() {
    boolean due = isLast() || isDue(settings.evalSteps());
    if (evalRows.isEmpty() || !due || evaluations.has(done)) {
      return OptionalDouble.empty();
    }
    listeners.forEach(l -> l.evaluationStarted(done));
    BooleanSupplier stop = isLast() ? () -> false : stopWhen;
    Optional<EvalMetrics> metrics =
        inMemory(
            "evaluation after step " + done, () -> evalRows.evaluate(done, sampler.epochs(), stop));
    if (metrics.isEmpty()) {
      return OptionalDouble.empty();
    }
    double loss = metrics.get().evalLoss();
    watchdog.evaluated(loss);
    evaluations.add(done, loss, isLast() || isDue(settings.saveSteps()));
    listeners.forEach(l -> l.evaluated(metrics.get()));
    measure();
    if (evaluations.isExhausted() && !isLast()) {
      tell(
          Kind.EARLY_STOP,
          String.format(
              Locale.ROOT,
              "stopped early after step %d: no eval_loss below %.4f in the last %d evaluations",
              done,
              evaluations.lowest(),
              settings.end().earlyStoppingPatience()));
    }
    return OptionalDouble.of(loss);
  }

  private void tell(Kind kind, String text) {
    tell(new RunNotice(done, kind, text));
  }

  private void tell(RunNotice notice) {
    listeners.forEach(l -> l.noticed(notice));
  }

  /** Writes a checkpoint; returns false, having written none, while the weights are in doubt. */
  private boolean saveUnlessDoubtful(RunPlace run) {
    if (watchdog.isDoubtful()) {
      return false;
    }
    int best = settings.end().loadBest() ? evaluations.best().map(Saved::step).orElse(0) : 0;
    measure();
    folder.save(state(run), best);
    saved = done;
    return true;
  }

  /** Makes the best saved step the result, where it is not the last; its loss. */
  private OptionalDouble takeBest() {
    Optional<Saved> best = evaluations.best();
    if (best.isEmpty()) {
      return OptionalDouble.empty();
    }
    int step = best.get().step();
    try {
      if (step != done) {
        long tokens = folder.restore(step, runId).tokensSeen();
        listeners.forEach(l -> l.restored(step, tokens));
        restored = OptionalInt.of(step);
      }
    } catch (InvalidInputException e) {
      String why = " had the lowest eval_loss, but cannot be had again (" + e.getMessage() + ")";
      tell(Kind.BEST, "step " + step + why + ": the result is step " + done);
      return OptionalDouble.empty();
    }
    tell(
        Kind.BEST,
        String.format(
            Locale.ROOT,
            "the result is step %d, whose eval_loss is the lowest of the saved steps: %.4f",
            step,
            best.get().loss()));
    return OptionalDouble.of(best.get().loss());
  }

  private TrainerState state(RunPlace run) {
    EpochSampler.Cursor cursor = sampler.cursor();
    return new TrainerState(
        runId,
        done,
        cursor.epoch(),
        cursor.position(),
        settings.order().toString(),
        tokensSeen,
        run.identity(),
        Map.of(
            EvalHistory.PART, evaluations.state(),
            LossWatchdog.PART, watchdog.state(),
            LossScale.PART, trainStep.lossScale().state()));
  }

  private boolean isDue(int interval) {
    return interval > 0 && done % interval == 0;
  }

  /** The micro-batches of a step; those of an epoch's last step may be fewer. */
  private List<Batch> nextBatches() {
    List<Batch> batches = new ArrayList<>(List.of(sampler.next()));
    while (batches.size() < settings.gradientAccumulationSteps() && !sampler.isAtEpochEnd()) {
      batches.add(sampler.next());
    }
    return batches;
  }

  /** Where a GPU has not the memory for what is done, its failure names it and what is kept. */
  private <T> T inMemory(String what, Supplier<T> body) {
    try {
      return body.get();
    } catch (OutOfMemoryException e) {
      throw e.during(what, folder.kept());
    }
  }

  /** Tells how far the adapters have moved, once a step. */
  private void measure() {
    if (measuredStep != done) {
      measuredStep = done;
      UpdateNorms norms = new UpdateNorms(done, trained.updateNorms());
      if (!norms.byModule().isEmpty()) {
        listeners.forEach(l -> l.updatesMeasured(norms));
      }
    }
  }

  /** A step that was done, and what is out of the ordinary with it. */
  private record Step(StepMetrics metrics, Optional<RunNotice> notice) {}

  private Step step() {
    long start = System.nanoTime();
    heap.begin();
    List<Batch> batches = nextBatches();
    // the schedule waits for a step whose gradients overflow float16, which another at a smaller
    // scale stands in for, as with torch's GradScaler. It does not wait for one that the watchdog
    // leaves out: the learning rate of a step does not depend on what went wrong before it
    int scheduled = done - trainStep.lossScale().skipped();
    double learningRate = settings.learningRate() * settings.schedule().multiplier(scheduled);
    TrainStep.Outcome outcome =
        trainStep.run(batches, learningRate, dropoutKey(done), watchdog.mostLoss());
    LossWatchdog.Verdict verdict = watchdog.judge(done + 1, outcome);
    if (verdict.stop()) {
      throw stopped(verdict.notice().orElseThrow().text(), outcome);
    }
    if (!allLearn && outcome.applied()) {
      stopUnlessAllLearn();
    }
    tokensSeen += outcome.tokens();
    heap.end();
    double tokensPerSecond = outcome.tokens() / ((System.nanoTime() - start) / 1e9);
    StepMetrics metrics =
        new StepMetrics(
            done + 1,
            settings.totalSteps(),
            sampler.epochs(),
            outcome.loss(),
            learningRate,
            outcome.gradNorm(),
            tokensPerSecond,
            ProcessMemory.residentBytes(),
            tokensSeen,
            outcome.measures());
    return new Step(metrics, verdict.notice());
  }

  private long dropoutKey(int step) {
    return settings.seed() * 0x9E3779B97F4A7C15L + step;
  }

  private TrainingStoppedException stopped(String why, TrainStep.Outcome outcome) {
    String remedy = ". Lower learning_rate, or look at the rows of this step";
    return new TrainingStoppedException(why + "; " + lastGood(outcome) + remedy);
  }

  /** Where an update was not applied, and the weights before it are proven, they are written. */
  private String lastGood(TrainStep.Outcome outcome) {
    if (outcome.applied()) {
      return folder.kept();
    }
    if (watchdog.lastApplied() == 0) {
      return "nothing was learned before it, so nothing was written";
    }
    if (watchdog.isDoubtful()) {
      return unproven();
    }
    try {
      return "the weights of step " + watchdog.lastApplied() + " are in " + folder.saveWeights();
    } catch (InvalidInputException e) {
      return e.getMessage() + "; " + folder.kept();
    }
  }

  /** That the weights are not written, and what there is from before their last update. */
  private String unproven() {
    int step = watchdog.lastApplied();
    return "no finite loss was computed with the weights of step "
        + step
        + ", so they are not written; "
        + folder.keptBefore(step, runId);
  }

  private void stopUnlessAllLearn() {
    List<String> without = trained.withoutGradient();
    if (!without.isEmpty()) {
      int more = without.size() - MOST_NAMED;
      throw new TrainingStoppedException(
          "step "
              + (done + 1)
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
