package ai.nibble.examples;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import ai.nibble.autograd.EngineSegment;
import ai.nibble.autograd.Tape;
import ai.nibble.autograd.Variable;
import ai.nibble.data.Batch;
import ai.nibble.model.CausalLm;
import ai.nibble.model.Checkpointing;
import ai.nibble.nn.Pass;
import ai.nibble.tensor.NdArrays;
import ai.nibble.train.objective.Objective;
import java.util.Arrays;

/**
 * An objective of one's own: cross-entropy with smoothed labels (Szegedy et al. 2016, section 7).
 * The loss is an expression of DJL's NDArray operations; the engine differentiates it, the tape
 * everything below it. Goes wherever an {@link Objective} does: {@code TrainStep}, {@code Trainer}.
 */
public final class LabelSmoothing implements Objective {
  private final double smoothing;

  /**
   * @param smoothing share of the target spread evenly over the vocabulary: 0 is cross-entropy
   */
  public LabelSmoothing(double smoothing) {
    if (!(smoothing >= 0 && smoothing < 1)) {
      throw new IllegalArgumentException("smoothing is " + smoothing + ", expected 0 to below 1");
    }
    this.smoothing = smoothing;
  }

  @Override
  public CausalLm.Loss loss(
      Tape tape,
      CausalLm model,
      Batch batch,
      Pass pass,
      double normalizer,
      Checkpointing checkpointing) {
    try (Variable hidden = model.hidden(tape, batch.inputIds(), pass, checkpointing);
        Variable logits = model.logits(tape, hidden, pass, batch.lossPositions())) {
      EngineSegment segment =
          new EngineSegment(
              in -> new NDList(loss(in.head(), batch.targets(), normalizer).reshape(1)));
      Variable value = tape.apply(segment, logits);
      return new CausalLm.Loss(value, value.value().toFloats()[0] * normalizer);
    }
  }

  /**
   * The summed loss over the normalizer.
   *
   * @param logits float32 {@code [targets, vocabulary]}
   */
  private NDArray loss(NDArray logits, int[] targets, double normalizer) {
    long[] ids = Arrays.stream(targets).asLongStream().toArray();
    NDArray index = logits.getManager().create(ids).reshape(-1, 1);
    NDArray logProbs = logits.logSoftmax(1);
    NDArray right = logProbs.gather(index, 1).sum();
    NDArray any = logProbs.mean(new int[] {1}).sum();
    NDArray share = NdArrays.scalar(logits, smoothing / normalizer);
    NDArray rest = NdArrays.scalar(logits, (smoothing - 1) / normalizer);
    return right.mul(rest).sub(any.mul(share));
  }
}
