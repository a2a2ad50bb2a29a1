package ai.nibble.train;

import ai.nibble.autograd.Tape;
import ai.nibble.data.Batch;
import ai.nibble.model.CausalLm;
import ai.nibble.model.Checkpointing;
import ai.nibble.model.Mean;
import ai.nibble.nn.ParameterSet;
import ai.nibble.nn.Pass;
import ai.nibble.optim.GradientStep;
import ai.nibble.optim.GradientStretch;
import ai.nibble.optim.Optimizer;
import ai.nibble.tensor.Tensor;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.DoubleSupplier;
import java.util.function.DoubleUnaryOperator;
import java.util.function.Function;

/** Forward and backward of a step's micro-batches, each by the worker that it is dealt to. */
final class MicroBatches {
  private final Workers workers;
  private final Checkpointing checkpointing;
  private final double embeddingNoise;
  private final LossScale scale;
  private final List<GradientStretch> sums = new ArrayList<>();
  private final HeapBound heap = new HeapBound();

  /**
   * @param gradients of the first worker, which get the sum of all
   * @param optimizer that they are of
   */
  MicroBatches(
      Workers workers,
      Optimizer optimizer,
      GradientStep gradients,
      Checkpointing checkpointing,
      double embeddingNoise,
      LossScale scale) {
    this.workers = workers;
    this.checkpointing = checkpointing;
    this.embeddingNoise = embeddingNoise;
    this.scale = scale;
    sums.add(gradients);
    for (int w = 1; w < workers.count(); w++) {
      sums.add(optimizer.stretch(workers.get(w).trained().parameters()));
    }
  }

  /**
   * What a micro-batch gave beside its gradients.
   *
   * @param sum of its loss, not divided; a device is waited for
   */
  record Result(DoubleSupplier sum, Map<String, Mean> measures) {
    Result(double sum, Map<String, Mean> measures) {
      this(() -> sum, measures);
    }

    /**
     * Of a loss on a tape that is open.
     *
     * @param reader begins to read the loss; empty: it is there
     */
    static Result of(CausalLm.Loss loss, Optional<Function<Tensor, DoubleSupplier>> reader) {
      if (reader.isEmpty() || loss.later().isEmpty()) {
        return new Result(loss.sum(), loss.measures());
      }
      DoubleUnaryOperator sum = loss.later().get();
      DoubleSupplier value = reader.get().apply(loss.value().value());
      return new Result(() -> sum.applyAsDouble(value.getAsDouble()), loss.measures());
    }

    double loss() {
      return sum.getAsDouble();
    }
  }

  /**
   * Computes all, and brings their gradients together.
   *
   * @param weight of the whole step
   * @param later reads losses of a step that is only queued; empty: they are to be asked for before
   *     the next step
   * @return one result a micro-batch, in their order
   */
  List<Result> run(List<Batch> batches, double weight, long dropoutKey, Optional<ReadLater> later) {
    Result[] results = new Result[batches.size()];
    int[] starts = workers.stretches(batches.size());
    workers.shareValues();
    workers.run(
        w -> {
          Optional<Function<Tensor, DoubleSupplier>> reader =
              later.isPresent()
                  ? later.map(queued -> queued::loss)
                  : workers.lateNumbers(w).map(numbers -> numbers::begin);
          sums.get(w).begin(starts[w]);
          for (int micro = starts[w]; micro < starts[w + 1] && !workers.isFailing(); micro++) {
            long key = dropoutKey + ((long) micro << 40);
            results[micro] = run(workers.get(w), batches.get(micro), weight, key, reader);
            sums.get(w).addMicroBatch();
            if (workers.count() == 1) {
              heap.keep(); // what others hold at the moment is not what one took
            }
          }
        });
    workers.gather(sums);
    if (workers.count() > 1) {
      heap.keep();
    }
    return List.of(results);
  }

  private Result run(
      Replica replica,
      Batch batch,
      double weight,
      long dropoutKey,
      Optional<Function<Tensor, DoubleSupplier>> reader) {
    ParameterSet parameters = replica.trained().parameters();
    parameters.zeroGrads();
    Pass pass =
        new Pass(batch.sequenceStarts(), true, dropoutKey).withEmbeddingNoise(embeddingNoise);
    Result result = forwardBackward(replica, batch, pass, weight, reader);
    parameters.parts().forEach(part -> scale.unscale(part.grads()));
    return result;
  }

  private Result forwardBackward(
      Replica replica,
      Batch batch,
      Pass pass,
      double weight,
      Optional<Function<Tensor, DoubleSupplier>> reader) {
    try (Tape tape = Tape.recording()) {
      // scaled from the start: behind the loss a gradient may be rounded away before backward
      // begins
      CausalLm.Loss loss =
          replica
              .objective()
              .loss(tape, replica.model(), batch, pass, weight / scale.value(), checkpointing);
      tape.backward(loss.value(), Tensor.of(new float[] {1}, 1));
      return Result.of(loss, reader); // when backward is queued: a device has work meanwhile
    }
  }
}
