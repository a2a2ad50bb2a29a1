package ai.nibble.train;

import ai.nibble.autograd.Tape;
import ai.nibble.data.Batch;
import ai.nibble.data.EpochPlan;
import ai.nibble.data.EpochSampler;
import ai.nibble.data.Example;
import ai.nibble.model.CausalLm;
import ai.nibble.model.Checkpointing;
import ai.nibble.nn.Pass;
import ai.nibble.train.log.EvalMetrics;
import ai.nibble.train.objective.Objective;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.function.BooleanSupplier;

/** The rows that a run is evaluated on. */
final class EvalRows {
  private final Workers workers;
  private final EpochSampler sampler;

  EvalRows(Workers workers, List<Example> rows, TrainSettings settings) {
    this.workers = workers;
    this.sampler =
        rows.isEmpty()
            ? null
            : new EpochSampler(
                new EpochPlan(rows, settings.evalOrder(), settings.seed()),
                settings.evalBatchSize());
  }

  boolean isEmpty() {
    return sampler == null;
  }

  /**
   * The loss on them, without dropout; changes nothing.
   *
   * @param step optimizer steps done
   * @param epoch passes over the training rows by then
   * @param stopWhen looked at before every batch
   * @return empty where it was asked to stop
   */
  Optional<EvalMetrics> evaluate(int step, double epoch, BooleanSupplier stopWhen) {
    long start = System.nanoTime();
    Sums sums = new Sums();
    double weight = 0;
    long tokens = 0;
    sampler.restore(new EpochSampler.Cursor(0, 0));
    workers.shareValues();
    List<MicroBatches.Result> before = List.of();
    while (!sampler.isAtEpochEnd()) {
      if (stopWhen.getAsBoolean()) {
        sums.add(before); // what is on its way is waited for
        return Optional.empty();
      }
      List<Batch> batches = nextOfEach();
      List<MicroBatches.Result> queued = run(batches);
      sums.add(before); // a device has the next batch to compute meanwhile
      before = queued;
      for (Batch batch : batches) {
        weight += workers.first().objective().weight(batch);
        tokens += batch.lossTokens();
      }
    }
    sums.add(before);
    double seconds = (System.nanoTime() - start) / 1e9;
    return Optional.of(
        new EvalMetrics(step, epoch, sums.loss / weight, tokens, seconds, sums.measures.values()));
  }

  /** Sums over all batches, in their order, whoever computed them. */
  private static final class Sums {
    private final Measures measures = new Measures();
    private double loss;

    void add(List<MicroBatches.Result> results) {
      for (MicroBatches.Result result : results) {
        loss += result.loss();
        measures.add(result.measures());
      }
    }
  }

  /** A batch for each worker; at the end of the rows there may be fewer. */
  private List<Batch> nextOfEach() {
    List<Batch> batches = new ArrayList<>();
    while (batches.size() < workers.count() && !sampler.isAtEpochEnd()) {
      batches.add(sampler.next());
    }
    return batches;
  }

  private List<MicroBatches.Result> run(List<Batch> batches) {
    MicroBatches.Result[] results = new MicroBatches.Result[batches.size()];
    workers.run(
        w -> {
          if (w < results.length) {
            results[w] = run(workers.get(w), batches.get(w), workers.lateNumbers(w));
          }
        });
    return List.of(results);
  }

  private static MicroBatches.Result run(Replica replica, Batch batch, Optional<LateNumbers> late) {
    Objective objective = replica.objective();
    Pass pass = Pass.evaluating(batch.sequenceStarts());
    try (Tape tape = Tape.inference()) {
      CausalLm.Loss loss =
          objective.loss(
              tape, replica.model(), batch, pass, objective.weight(batch), Checkpointing.NONE);
      return MicroBatches.Result.of(loss, late.map(numbers -> numbers::begin));
    }
  }
}
