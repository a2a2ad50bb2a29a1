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
import java.util.List;
import java.util.Optional;
import java.util.function.BooleanSupplier;

/** The rows that a run is evaluated on. */
final class EvalRows {
  private final CausalLm model;
  private final Objective objective;
  private final EpochSampler sampler;

  EvalRows(CausalLm model, Objective objective, List<Example> rows, TrainSettings settings) {
    this.model = model;
    this.objective = objective;
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
    double sum = 0;
    double weight = 0;
    long tokens = 0;
    Measures measures = new Measures();
    sampler.restore(new EpochSampler.Cursor(0, 0));
    while (!sampler.isAtEpochEnd()) {
      if (stopWhen.getAsBoolean()) {
        return Optional.empty();
      }
      Batch batch = sampler.next();
      Pass pass = Pass.evaluating(batch.sequenceStarts());
      try (Tape tape = Tape.inference()) {
        double own = objective.weight(batch);
        CausalLm.Loss loss = objective.loss(tape, model, batch, pass, own, Checkpointing.NONE);
        sum += loss.sum();
        weight += own;
        measures.add(loss.measures());
      }
      tokens += batch.lossTokens();
    }
    double seconds = (System.nanoTime() - start) / 1e9;
    return Optional.of(
        new EvalMetrics(step, epoch, sum / weight, tokens, seconds, measures.values()));
  }
}
