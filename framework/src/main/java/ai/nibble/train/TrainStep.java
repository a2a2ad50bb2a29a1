package ai.nibble.train;

import ai.nibble.data.Batch;
import ai.nibble.model.CausalLm;
import ai.nibble.model.Checkpointing;
import ai.nibble.model.Trainable;
import ai.nibble.nn.ParameterSet;
import ai.nibble.optim.GradientStep;
import ai.nibble.optim.Optimizer;
import ai.nibble.tensor.Device;
import ai.nibble.train.objective.Objective;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.DoubleSupplier;
import java.util.function.Supplier;

/**
 * One optimizer step, read top to bottom in {@link #run}: forward and backward of every
 * micro-batch, their gradients summed, clipped, applied. For the trainer and for loops of one's
 * own.
 */
public final class TrainStep {
  private final Objective objective;
  private final GradientStep gradients;
  private final Optional<GradientStep.Ahead> ahead;
  private final Workers workers;
  private final ParameterSet parameters;
  private final MicroBatches microBatches;
  private final double maxGradNorm;
  private final LossScale scale;

  /** Made when a step is queued for the first time. */
  private ReadLater later;

  /**
   * @param trained of the model, or on it; its parameters are what is trained
   * @param optimizer over the flat parameters
   * @param maxGradNorm gradients of a larger global norm are scaled down to it; 0: never
   * @param checkpointing what is computed again in backward instead of kept
   */
  public TrainStep(
      CausalLm model,
      Trainable trained,
      Objective objective,
      Optimizer optimizer,
      double maxGradNorm,
      Checkpointing checkpointing) {
    this(model, trained, objective, optimizer, maxGradNorm, checkpointing, 0);
  }

  /**
   * @param trained of the model, or on it; its parameters are what is trained
   * @param optimizer over the flat parameters
   * @param maxGradNorm gradients of a larger global norm are scaled down to it; 0: never
   * @param checkpointing what is computed again in backward instead of kept
   * @param embeddingNoise alpha of NEFTune; 0: none
   */
  public TrainStep(
      CausalLm model,
      Trainable trained,
      Objective objective,
      Optimizer optimizer,
      double maxGradNorm,
      Checkpointing checkpointing,
      double embeddingNoise) {
    this(
        Workers.alone(new Replica(model, trained, objective)),
        optimizer,
        maxGradNorm,
        checkpointing,
        embeddingNoise);
  }

  /**
   * Steps by several workers.
   *
   * @param workers stay the caller's
   * @param optimizer over the first worker's flat parameters
   * @param maxGradNorm gradients of a larger global norm are scaled down to it; 0: never
   * @param checkpointing what is computed again in backward instead of kept
   * @param embeddingNoise alpha of NEFTune; 0: none
   */
  public TrainStep(
      Workers workers,
      Optimizer optimizer,
      double maxGradNorm,
      Checkpointing checkpointing,
      double embeddingNoise) {
    Replica first = workers.first();
    this.objective = first.objective();
    this.parameters = first.trained().parameters();
    this.gradients = optimizer.over(parameters);
    this.ahead = gradients.ahead();
    this.workers = workers;
    this.maxGradNorm = maxGradNorm;
    this.scale = LossScale.of(first.model().precision());
    this.microBatches =
        new MicroBatches(workers, optimizer, gradients, checkpointing, embeddingNoise, scale);
  }

  /**
   * What a step did.
   *
   * @param loss mean over the loss tokens of all micro-batches, or over their rows: see {@link
   *     Objective#weight}
   * @param gradNorm global L2 norm before clipping; NaN where the loss alone decided
   * @param tokens of all micro-batches
   * @param applied false if loss or norm are not finite, or the loss is above what was allowed: the
   *     parameters are as they were
   * @param overflow whether it was not applied because float16 could not hold the gradients, and
   *     the {@link #lossScale} is smaller now
   * @param measures what else the objective saw, means over the step by name
   */
  public record Outcome(
      double loss,
      double gradNorm,
      int tokens,
      boolean applied,
      boolean overflow,
      Map<String, Double> measures) {
    /** Of a step whose gradients did not overflow, with nothing beside the loss. */
    public Outcome(double loss, double gradNorm, int tokens, boolean applied) {
      this(loss, gradNorm, tokens, applied, false, Map.of());
    }
  }

  /** What gradients are scaled by on their way, which steps change where float16 is computed. */
  public LossScale lossScale() {
    return scale;
  }

  /**
   * Runs the step.
   *
   * @param batches the micro-batches, at least one token with loss among them
   * @param dropoutKey with the micro-batch, the layer and the element it decides what is dropped
   */
  public Outcome run(List<Batch> batches, double learningRate, long dropoutKey) {
    return run(batches, learningRate, dropoutKey, Double.POSITIVE_INFINITY);
  }

  /**
   * As the other {@code run}.
   *
   * @param mostLoss a loss above it is not applied
   */
  public Outcome run(List<Batch> batches, double learningRate, long dropoutKey, double mostLoss) {
    int tokens = tokens(batches);
    double weight = weight(batches);
    Measures measures = new Measures();

    double lossSum = 0;
    for (MicroBatches.Result result :
        microBatches.run(batches, weight, dropoutKey, Optional.empty())) {
      lossSum += result.loss();
      measures.add(result.measures());
    }

    double loss = lossSum / weight;
    Map<String, Double> seen = measures.values();
    if (!Double.isFinite(loss) || loss > mostLoss) {
      return new Outcome(loss, Double.NaN, tokens, false, false, seen);
    }
    double norm = gradients.apply(learningRate, maxGradNorm);
    if (Double.isFinite(norm)) {
      scale.applied();
      return new Outcome(loss, norm, tokens, true, false, seen);
    }
    boolean overflow = scale.isDynamic() && !scale.isLeast();
    if (overflow) {
      scale.overflowed();
    }
    return new Outcome(loss, norm, tokens, false, overflow, seen);
  }

  /**
   * Whether {@link #queue} may be called: one worker on a device, whose optimizer and loss are
   * there, and nothing that the next step does hangs on what became of this one.
   */
  boolean canQueue() {
    return ahead.isPresent()
        && workers.count() == 1
        && !scale.isDynamic()
        && lossIsWithParameters()
        && workers.lateNumbers(0).isPresent();
  }

  /** Adapters on some layers of a model over several devices may be elsewhere than its head. */
  private boolean lossIsWithParameters() {
    Device head = workers.first().model().placement().of(CausalLm.HEAD);
    return head.equals(parameters.values().device());
  }

  /**
   * Queues the step and does not wait for it. Where its loss or norm is not finite, neither it nor
   * any step that is queued after it is applied.
   *
   * @return gives what it did, waiting for it but not for what was queued since
   */
  Supplier<Outcome> queue(List<Batch> batches, double learningRate, long dropoutKey) {
    if (later == null) {
      later = new ReadLater(parameters, workers.lateNumbers(0).orElseThrow());
    }
    double weight = weight(batches);
    List<MicroBatches.Result> results =
        microBatches.run(batches, weight, dropoutKey, Optional.of(later));
    DoubleSupplier squares =
        later.number(ahead.orElseThrow().apply(learningRate, maxGradNorm, later.sound()));
    int tokens = tokens(batches);
    return () -> outcome(results, weight, squares, tokens);
  }

  private Outcome outcome(
      List<MicroBatches.Result> results, double weight, DoubleSupplier squares, int tokens) {
    double lossSum = 0;
    Measures measures = new Measures();
    for (MicroBatches.Result result : results) {
      lossSum += result.loss();
      measures.add(result.measures());
    }
    double loss = lossSum / weight;
    double norm = Math.sqrt(squares.getAsDouble());
    boolean applied = Double.isFinite(loss) && Double.isFinite(norm);
    if (applied) {
      scale.applied();
    }
    double shown = Double.isFinite(loss) ? norm : Double.NaN; // as where the loss decides at once
    return new Outcome(loss, shown, tokens, applied, false, measures.values());
  }

  private static int tokens(List<Batch> batches) {
    return batches.stream().mapToInt(Batch::tokens).sum();
  }

  private double weight(List<Batch> batches) {
    return batches.stream().mapToDouble(objective::weight).sum();
  }
}
