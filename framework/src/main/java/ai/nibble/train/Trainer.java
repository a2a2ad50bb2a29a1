package ai.nibble.train;

import ai.nibble.InvalidInputException;
import ai.nibble.checkpoint.PartState;
import ai.nibble.checkpoint.SavedCheckpoint;
import ai.nibble.checkpoint.TrainerState;
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
import ai.nibble.train.log.RunEnd;
import ai.nibble.train.log.RunInfo;
import ai.nibble.train.log.RunNotice;
import ai.nibble.train.log.RunNotice.Kind;
import ai.nibble.train.log.TrainListener;
import ai.nibble.train.log.UpdateNorms;
import ai.nibble.train.objective.Objective;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.OptionalInt;
import java.util.UUID;
import java.util.function.BooleanSupplier;
import java.util.function.Supplier;

/** The training loop: steps, evaluations, checkpoints, and what was trained at the end. */
public final class Trainer {
  private final Trainable trained;
  private final TrainSettings settings;
  private final EpochPlan plan;
  private final EvalRows evalRows;
  private final List<TrainListener> listeners;
  private final Optimizer optimizer;
  private final Steps steps;
  private final EvalHistory evaluations;
  private final LossWatchdog watchdog;
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

  private int measuredStep = -1;
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
    this.evaluations = new EvalHistory(settings.end());
    this.watchdog = new LossWatchdog(settings.watchdog());
    TrainStep step =
        new TrainStep(
            workers,
            optimizer,
            settings.maxGradNorm(),
            settings.checkpointing(),
            settings.neftuneNoiseAlpha());
    this.steps = new Steps(settings, plan, step, trained, watchdog);
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
    requireWithin(checkpoint, settings, plan);
    TrainerState state = checkpoint.state();
    boolean sameOrder = state.order().equals(settings.order().toString());
    int position = sameOrder ? state.position() : 0;
    checkpoint.restore(trained.parameters(), optimizer);
    steps.restore(state, position);
    evaluations.restore(state.parts().getOrDefault(EvalHistory.PART, PartState.EMPTY));
    watchdog.restore(state.parts().getOrDefault(LossWatchdog.PART, PartState.EMPTY));
    runId = state.runId();
    from = Optional.of(checkpoint.directory());
    done = state.step();
    saved = done;
    return sameOrder;
  }

  /**
   * Checks that a checkpoint's place is one of a run.
   *
   * @param plan of the run's rows
   * @throws InvalidInputException if it is beyond the end
   */
  public static void requireWithin(
      SavedCheckpoint checkpoint, TrainSettings settings, EpochPlan plan) {
    TrainerState state = checkpoint.state();
    int units = plan.units(state.epoch());
    boolean sameOrder = state.order().equals(settings.order().toString());
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
      folder.begin(done);
      OptionalDouble evalLoss = steps(run);
      OptionalDouble best = settings.end().loadBest() ? takeBest() : OptionalDouble.empty();
      if (best.isEmpty() && watchdog.isDoubtful()) {
        throw new TrainingStoppedException(
            "the run ends after step " + done + "; " + ending().unproven());
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
      nextStep();
      OptionalDouble evaluated = evaluateIfDue();
      evalLoss = evaluated.isPresent() ? evaluated : evalLoss;
      if (isDue(settings.saveSteps()) || owed) {
        owed = !saveUnlessDoubtful(run);
      }
      if (!isOver() && stopWhen.getAsBoolean()) {
        settle();
        throw saved == done || saveUnlessDoubtful(run)
            ? new TrainingInterruptedException(done, settings.totalSteps())
            : new TrainingInterruptedException(done, settings.totalSteps(), ending().unproven());
      }
    }
    settle();
    return evalLoss;
  }

  /** Listeners hear of a step's beginning when they have heard of the end of the one before. */
  private void nextStep() {
    boolean queued = steps.isPending();
    if (!queued) {
      listeners.forEach(l -> l.stepStarted(done + 1));
    }
    inMemory("step " + (done + 1), () -> steps.next(done, ending())).ifPresent(this::ended);
    done++;
    if (queued && steps.isPending()) {
      listeners.forEach(l -> l.stepStarted(done));
    }
  }

  /** Waits for the step that is only queued, where one is: what follows is of its weights. */
  private void settle() {
    inMemory("step " + done, () -> steps.settle(ending())).ifPresent(this::ended);
  }

  private void ended(Steps.Done step) {
    listeners.forEach(l -> l.stepEnded(step.metrics()));
    step.notice().ifPresent(this::tell);
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
    settle();
    listeners.forEach(l -> l.evaluationStarted(done));
    BooleanSupplier stop = isLast() ? () -> false : stopWhen;
    Optional<EvalMetrics> metrics =
        inMemory(
            "evaluation after step " + done, () -> evalRows.evaluate(done, steps.epochs(), stop));
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
    settle();
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
    EpochSampler.Cursor cursor = steps.cursor();
    return new TrainerState(
        runId,
        done,
        cursor.epoch(),
        cursor.position(),
        settings.order().toString(),
        steps.tokensSeen(),
        run.identity(),
        Map.of(
            EvalHistory.PART, evaluations.state(),
            LossWatchdog.PART, watchdog.state(),
            LossScale.PART, steps.lossScale().state()));
  }

  /** What to say of a run that ends badly now. */
  private BadEnd ending() {
    return new BadEnd(watchdog, folder, runId);
  }

  private boolean isDue(int interval) {
    return interval > 0 && done % interval == 0;
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
}
