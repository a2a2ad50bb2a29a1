package ai.nibble.train;

import ai.nibble.InvalidInputException;
import ai.nibble.autograd.Tape;
import ai.nibble.checkpoint.CheckpointFolder;
import ai.nibble.checkpoint.SavedCheckpoint;
import ai.nibble.checkpoint.TrainerState;
import ai.nibble.data.Batch;
import ai.nibble.data.EpochPlan;
import ai.nibble.data.EpochSampler;
import ai.nibble.data.Example;
import ai.nibble.data.TrainingRows;
import ai.nibble.lora.AdapterNames;
import ai.nibble.model.CausalLm;
import ai.nibble.model.Checkpointing;
import ai.nibble.model.Trainable;
import ai.nibble.nn.Pass;
import ai.nibble.optim.Optimizer;
import ai.nibble.optim.ParameterRange;
import ai.nibble.tensor.OutOfMemoryException;
import ai.nibble.train.log.EvalMetrics;
import ai.nibble.train.log.ProcessMemory;
import ai.nibble.train.log.RunEnd;
import ai.nibble.train.log.RunInfo;
import ai.nibble.train.log.StepMetrics;
import ai.nibble.train.log.TrainListener;
import ai.nibble.train.log.UpdateNorms;
import ai.nibble.train.objective.Objective;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.UUID;
import java.util.function.BooleanSupplier;
import java.util.function.Supplier;
import java.util.stream.Collectors;

/** The training loop: steps, evaluations, checkpoints, and what was trained at the end. */
public final class Trainer {
  /** Tensors that a message names before it counts the others. */
  private static final int MOST_NAMED = 8;

  private final CausalLm model;
  private final Trainable trained;
  private final Objective objective;
  private final TrainSettings settings;
  private final EpochSampler evalSampler;
  private final EpochPlan plan;
  private final List<TrainListener> listeners;
  private final EpochSampler sampler;
  private final Optimizer optimizer;
  private final TrainStep trainStep;
  private final HeapBound heap = new HeapBound();
  private String runId = UUID.randomUUID().toString();
  private int firstStep;
  private int measuredStep = -1;
  private long tokensSeen;
  private Path lastCheckpoint;
  private BooleanSupplier stopWhen = () -> false;

  /**
   * @param trained of the model, or on it; its parameters are what is trained
   * @param rows at least one, each with a token that carries loss; not changed during the run
   * @param evalRows may be empty; not changed during the run
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
    this.model = model;
    this.trained = trained;
    this.objective = objective;
    this.settings = settings;
    this.listeners = List.copyOf(listeners);
    this.plan = new EpochPlan(rows, settings.order(), settings.seed());
    this.sampler = new EpochSampler(plan, settings.microBatchSize());
    this.evalSampler =
        evalRows.isEmpty()
            ? null
            : new EpochSampler(
                new EpochPlan(evalRows, settings.evalOrder(), settings.seed()),
                settings.evalBatchSize());
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
            model, trained, objective, optimizer, settings.maxGradNorm(), settings.checkpointing());
  }

  /**
   * Goes on from a checkpoint instead of the first step; what follows is, to the bit, what would
   * have followed it.
   *
   * @param saved of a run with the same settings, base and rows: see {@link
   *     SavedCheckpoint#differences}
   * @return false where the rows came in another order or in other packs then: the checkpoint's
   *     epoch begins again
   * @throws InvalidInputException if it is of other parameters or rows; nothing has changed then
   */
  public boolean resume(SavedCheckpoint saved) {
    TrainerState state = saved.state();
    boolean sameOrder = state.order().equals(settings.order().toString());
    int units = plan.units(state.epoch());
    int position = sameOrder ? state.position() : 0;
    if (state.step() > settings.totalSteps() || position > units) {
      String unit = settings.order().unit();
      throw new InvalidInputException(
          saved.directory()
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
    saved.restore(trained.parameters(), optimizer);
    sampler.restore(new EpochSampler.Cursor(state.epoch(), position));
    runId = state.runId();
    lastCheckpoint = saved.directory();
    firstStep = state.step();
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

  /**
   * Trains to the last step and writes what was trained.
   *
   * @param run where to, and what identifies it
   * @return the last evaluation's loss; empty without rows to evaluate on
   * @throws TrainingStoppedException if the loss or a gradient is not finite, or an adapter gets no
   *     gradient; the last good weights have been written
   * @throws TrainingInterruptedException if it was asked to stop; a checkpoint has been written
   */
  public OptionalDouble run(RunPlace run) {
    CheckpointFolder checkpoints =
        new CheckpointFolder(run.output(), run.baseModel(), settings.saveTotalLimit());
    long start = System.nanoTime();
    RunInfo info = new RunInfo(run.name(), firstStep, settings.totalSteps(), run.recipe());
    int done = firstStep;
    String reason = "failed";
    listeners.forEach(l -> l.runStarted(info));
    try {
      OptionalDouble evalLoss = OptionalDouble.empty();
      boolean saved = true;
      while (done < settings.totalSteps()) {
        int step = done;
        listeners.forEach(l -> l.stepStarted(step + 1));
        StepMetrics metrics = inMemory("step " + (step + 1), () -> step(step, run));
        done++;
        saved = false;
        listeners.forEach(l -> l.stepEnded(metrics));
        boolean last = done == settings.totalSteps();
        if (evalSampler != null && (last || isDue(done, settings.evalSteps()))) {
          Optional<EvalMetrics> evaluation =
              inMemory("evaluation after step " + (step + 1), () -> evaluate(step + 1));
          if (evaluation.isPresent()) {
            evalLoss = OptionalDouble.of(evaluation.get().evalLoss());
            listeners.forEach(l -> l.evaluated(evaluation.get()));
            measure(done);
          }
        }
        if (isDue(done, settings.saveSteps())) {
          lastCheckpoint = saving(done, checkpoint(checkpoints, done, run));
          saved = true;
        }
        if (!last && stopWhen.getAsBoolean()) {
          interrupt(done, saved, checkpoints, run);
        }
      }
      saving(done, () -> saveFinal(run));
      reason = "finished";
      return evalLoss;
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

  private void interrupt(int done, boolean saved, CheckpointFolder checkpoints, RunPlace run) {
    if (!saved) {
      saving(done, checkpoint(checkpoints, done, run));
    }
    throw new TrainingInterruptedException(done, settings.totalSteps());
  }

  private Supplier<Path> checkpoint(CheckpointFolder checkpoints, int done, RunPlace run) {
    return () -> checkpoints.save(trained, optimizer, state(done, run));
  }

  private TrainerState state(int done, RunPlace run) {
    EpochSampler.Cursor cursor = sampler.cursor();
    return new TrainerState(
        runId,
        done,
        cursor.epoch(),
        cursor.position(),
        settings.order().toString(),
        tokensSeen,
        run.identity());
  }

  private Path saveFinal(RunPlace run) {
    try {
      trained.save(run.output(), run.baseModel());
      return run.output();
    } catch (IOException e) {
      throw new UncheckedIOException(run.output() + ": what was trained could not be written", e);
    }
  }

  private static boolean isDue(int done, int interval) {
    return interval > 0 && done % interval == 0;
  }

  private Path saving(int done, Supplier<Path> save) {
    measure(done);
    listeners.forEach(l -> l.saveStarted(done));
    Path path = save.get();
    listeners.forEach(l -> l.saved(path));
    return path;
  }

  /** Tells how far the adapters have moved, once a step. */
  private void measure(int done) {
    if (measuredStep != done) {
      measuredStep = done;
      UpdateNorms norms = new UpdateNorms(done, trained.updateNorms());
      if (!norms.byModule().isEmpty()) {
        listeners.forEach(l -> l.updatesMeasured(norms));
      }
    }
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
      throw e.during(
          what,
          lastCheckpoint == null
              ? "no checkpoint was due before it"
              : "resume_from_checkpoint goes on from " + lastCheckpoint);
    }
  }

  private StepMetrics step(int step, RunPlace run) {
    long start = System.nanoTime();
    heap.begin();
    List<Batch> batches = nextBatches();
    double learningRate = settings.learningRate() * settings.schedule().multiplier(step);
    TrainStep.Outcome outcome = trainStep.run(batches, learningRate, dropoutKey(step));
    if (!outcome.applied()) {
      stop(step, outcome, run);
    }
    if (step == 0) {
      stopUnlessAllLearn();
    }
    tokensSeen += outcome.tokens();
    heap.end();
    return new StepMetrics(
        step + 1,
        settings.totalSteps(),
        sampler.epochs(),
        outcome.loss(),
        learningRate,
        outcome.gradNorm(),
        outcome.tokens() / ((System.nanoTime() - start) / 1e9),
        ProcessMemory.residentBytes(),
        tokensSeen);
  }

  private long dropoutKey(int step) {
    return settings.seed() * 0x9E3779B97F4A7C15L + step;
  }

  /** The update was not applied, so what is written are the last good weights. */
  private void stop(int step, TrainStep.Outcome outcome, RunPlace run) {
    String kept =
        step == 0
            ? "nothing was learned before it, so nothing was written"
            : "the weights of step " + step + " are in " + saveFinal(run);
    throw new TrainingStoppedException(
        "step "
            + (step + 1)
            + ": loss "
            + outcome.loss()
            + ", gradient norm "
            + outcome.gradNorm()
            + ", expected finite numbers; "
            + kept
            + ". Lower learning_rate, or look at the rows of this step");
  }

  private void stopUnlessAllLearn() {
    List<String> without = trained.withoutGradient();
    if (!without.isEmpty()) {
      int more = without.size() - MOST_NAMED;
      throw new TrainingStoppedException(
          "step 1: no gradient reaches "
              + without.size()
              + " of the trained tensors ["
              + without.stream().limit(MOST_NAMED).collect(Collectors.joining(", "))
              + (more > 0 ? " and " + more + " more" : "")
              + "]: they would never learn");
    }
  }

  /** Empty where the run was asked to stop meanwhile. */
  private Optional<EvalMetrics> evaluate(int step) {
    listeners.forEach(l -> l.evaluationStarted(step));
    long start = System.nanoTime();
    double sum = 0;
    long tokens = 0;
    evalSampler.restore(new EpochSampler.Cursor(0, 0));
    while (!evalSampler.isAtEpochEnd()) {
      if (stopWhen.getAsBoolean() && step < settings.totalSteps()) {
        return Optional.empty();
      }
      Batch batch = evalSampler.next();
      Pass pass = Pass.evaluating(batch.sequenceStarts());
      try (Tape tape = Tape.inference()) {
        int lossTokens = batch.lossTokens();
        sum += objective.loss(tape, model, batch, pass, lossTokens, Checkpointing.NONE).sum();
      }
      tokens += batch.lossTokens();
    }
    double seconds = (System.nanoTime() - start) / 1e9;
    return Optional.of(new EvalMetrics(step, sampler.epochs(), sum / tokens, tokens, seconds));
  }
}
