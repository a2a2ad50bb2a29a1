package ai.nibble.train;

import ai.nibble.autograd.Tape;
import ai.nibble.data.Batch;
import ai.nibble.model.CausalLm;
import ai.nibble.model.Checkpointing;
import ai.nibble.model.Trainable;
import ai.nibble.nn.Pass;
import ai.nibble.optim.GradientStep;
import ai.nibble.optim.Optimizer;
import ai.nibble.tensor.Tensor;
import ai.nibble.train.objective.Objective;
import java.util.List;
import java.util.Map;

/**
 * One optimizer step, read top to bottom in {@link #run}: forward and backward of every
 * micro-batch, their gradients summed, clipped, applied. For the trainer and for loops of one's
 * own.
 */
public final class TrainStep {
  private final CausalLm model;
  private final Trainable trained;
  private final Objective objective;
  private final GradientStep gradients;
  private final double maxGradNorm;
  private final Checkpointing checkpointing;
  private final double embeddingNoise;
  private final LossScale scale;

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
    this.model = model;
    this.trained = trained;
    this.objective = objective;
    this.gradients = optimizer.over(trained.parameters());
    this.maxGradNorm = maxGradNorm;
    this.checkpointing = checkpointing;
    this.embeddingNoise = embeddingNoise;
    this.scale = LossScale.of(model.precision());
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
    int tokens = batches.stream().mapToInt(Batch::tokens).sum();
    double weight = batches.stream().mapToDouble(objective::weight).sum();
    Measures measures = new Measures();

    double lossSum = 0;
    gradients.begin();
    for (int micro = 0; micro < batches.size(); micro++) {
      Batch batch = batches.get(micro);
      trained.parameters().zeroGrads();
      Pass pass =
          new Pass(batch.sequenceStarts(), true, dropoutKey + ((long) micro << 40))
              .withEmbeddingNoise(embeddingNoise);
      lossSum += forwardBackward(batch, pass, weight, measures);
      trained.parameters().parts().forEach(part -> scale.unscale(part.grads()));
      gradients.addMicroBatch();
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

  private double forwardBackward(Batch batch, Pass pass, double weight, Measures measures) {
    try (Tape tape = Tape.recording()) {
      // scaled from the start: behind the loss a gradient may be rounded away before backward
      // begins
      CausalLm.Loss loss =
          objective.loss(tape, model, batch, pass, weight / scale.value(), checkpointing);
      measures.add(loss.measures());
      tape.backward(loss.value(), Tensor.of(new float[] {1}, 1));
      return loss.sum(); // after backward is queued: a device has work while the host waits
    }
  }
}
