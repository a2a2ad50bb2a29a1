package ai.nibble.train;

import ai.nibble.autograd.Tape;
import ai.nibble.data.Batch;
import ai.nibble.data.EpochSampler;
import ai.nibble.data.Example;
import ai.nibble.model.CausalLm;
import ai.nibble.model.Checkpointing;
import ai.nibble.model.Trainable;
import ai.nibble.nn.Pass;
import ai.nibble.optim.AdamW;
import ai.nibble.optim.ParameterRange;
import ai.nibble.train.log.EvalMetrics;
import ai.nibble.train.log.ProcessMemory;
import ai.nibble.train.log.RunEnd;
import ai.nibble.train.log.RunInfo;
import ai.nibble.train.log.StepMetrics;
import ai.nibble.train.log.TrainListener;
import ai.nibble.train.objective.Objective;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.OptionalDouble;

/** The training loop: steps, evaluations, checkpoints, and what was trained at the end. */
public final class Trainer {
  private final CausalLm model;
  private final Trainable trained;
  private final Objective objective;
  private final TrainSettings settings;
  private final int rows;
  private final List<Example> evalRows;
  private final List<TrainListener> listeners;
  private final EpochSampler sampler;
  private final TrainStep trainStep;
  private long tokensSeen;

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
    this.model = model;
    this.trained = trained;
    this.objective = objective;
    this.settings = settings;
    this.rows = rows.size();
    this.evalRows = List.copyOf(evalRows);
    this.listeners = List.copyOf(listeners);
    this.sampler = new EpochSampler(rows, settings.microBatchSize(), settings.seed());
    this.trainStep =
        new TrainStep(
            model,
            trained,
            objective,
            new AdamW(
                settings.adamW(),
                ParameterRange.decayingMatrices(
                    trained.parameters(), settings.adamW().weightDecay())),
            settings.maxGradNorm(),
            settings.checkpointing());
  }

  /**
   * Trains from the first step to the last and writes what was trained.
   *
   * @param output where what was trained and its checkpoints go
   * @param baseModel the base: see {@link Trainable#save}
   * @param recipe the resolved recipe, for those who log it
   * @return the last evaluation's loss; empty without rows to evaluate on
   * @throws TrainingStoppedException if the loss or a gradient is not finite, or an adapter gets no
   *     gradient; the last good weights have been written
   */
  public OptionalDouble run(Path output, String baseModel, String recipe) {
    Checkpoints checkpoints = new Checkpoints(output, baseModel, settings.saveTotalLimit());
    String name = output.getFileName() == null ? "run" : output.getFileName().toString();
    long start = System.nanoTime();
    int done = 0;
    String reason = "failed";
    listeners.forEach(l -> l.runStarted(new RunInfo(name, 0, settings.totalSteps(), recipe)));
    try {
      OptionalDouble evalLoss = OptionalDouble.empty();
      for (int step = 0; step < settings.totalSteps(); step++) {
        StepMetrics metrics = step(step, checkpoints);
        done = step + 1;
        listeners.forEach(l -> l.stepEnded(metrics));
        boolean last = done == settings.totalSteps();
        if (!evalRows.isEmpty() && (last || isDue(done, settings.evalSteps()))) {
          EvalMetrics evaluation = evaluate(done);
          evalLoss = OptionalDouble.of(evaluation.evalLoss());
          listeners.forEach(l -> l.evaluated(evaluation));
        }
        if (isDue(done, settings.saveSteps())) {
          announce(checkpoints.save(trained, done));
        }
      }
      announce(checkpoints.saveFinal(trained));
      reason = "finished";
      return evalLoss;
    } catch (RuntimeException e) {
      reason = "failed: " + e.getMessage();
      throw e;
    } finally {
      RunEnd end = new RunEnd(done, (System.nanoTime() - start) / 1e9, reason);
      listeners.forEach(l -> l.runEnded(end));
    }
  }

  private static boolean isDue(int done, int interval) {
    return interval > 0 && done % interval == 0;
  }

  private void announce(Path path) {
    listeners.forEach(l -> l.saved(path));
  }

  /** The micro-batches of a step; those of an epoch's last step may be fewer. */
  private List<Batch> nextBatches() {
    List<Batch> batches = new ArrayList<>(List.of(sampler.next()));
    while (batches.size() < settings.gradientAccumulationSteps()
        && sampler.cursor().position() < rows) {
      batches.add(sampler.next());
    }
    return batches;
  }

  private double epoch() {
    return sampler.cursor().epoch() + (double) sampler.cursor().position() / rows;
  }

  private StepMetrics step(int step, Checkpoints checkpoints) {
    long start = System.nanoTime();
    List<Batch> batches = nextBatches();
    double learningRate = settings.learningRate() * settings.schedule().multiplier(step);
    TrainStep.Outcome outcome = trainStep.run(batches, learningRate, dropoutKey(step));
    if (!outcome.applied()) {
      stop(step, outcome, checkpoints);
    }
    if (step == 0) {
      stopUnlessAllLearn();
    }
    tokensSeen += outcome.tokens();
    return new StepMetrics(
        step + 1,
        settings.totalSteps(),
        epoch(),
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
  private void stop(int step, TrainStep.Outcome outcome, Checkpoints checkpoints) {
    String kept =
        step == 0
            ? "nothing was learned before it, so nothing was written"
            : "the weights of step " + step + " are in " + checkpoints.saveFinal(trained);
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
      throw new TrainingStoppedException(
          "step 1: no gradient reaches "
              + without.size()
              + " of the trained tensors, first "
              + without.get(0)
              + ": they would never learn");
    }
  }

  private EvalMetrics evaluate(int step) {
    long start = System.nanoTime();
    double sum = 0;
    long tokens = 0;
    for (int begin = 0; begin < evalRows.size(); begin += settings.evalBatchSize()) {
      int end = Math.min(evalRows.size(), begin + settings.evalBatchSize());
      Batch batch = Batch.of(evalRows.subList(begin, end));
      Pass pass = Pass.evaluating(batch.sequenceStarts());
      try (Tape tape = Tape.inference()) {
        int lossTokens = batch.lossTokens();
        sum += objective.loss(tape, model, batch, pass, lossTokens, Checkpointing.NONE).sum();
      }
      tokens += batch.lossTokens();
    }
    double seconds = (System.nanoTime() - start) / 1e9;
    return new EvalMetrics(step, epoch(), sum / tokens, tokens, seconds);
  }
}
