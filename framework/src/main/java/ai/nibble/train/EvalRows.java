package ai.nibble.train;

import ai.nibble.autograd.Tape;
import ai.nibble.data.Batch;
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
  private final List<Example> rows;
  private final int batchSize;

  EvalRows(CausalLm model, Objective objective, List<Example> rows, int batchSize) {
    this.model = model;
    this.objective = objective;
    this.rows = List.copyOf(rows);
    this.batchSize = batchSize;
  }

  boolean isEmpty() {
    return rows.isEmpty();
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
    long tokens = 0;
    for (int begin = 0; begin < rows.size(); begin += batchSize) {
      if (stopWhen.getAsBoolean()) {
        return Optional.empty();
      }
      Batch batch = Batch.of(rows.subList(begin, Math.min(rows.size(), begin + batchSize)));
      Pass pass = Pass.evaluating(batch.sequenceStarts());
      try (Tape tape = Tape.inference()) {
        int lossTokens = batch.lossTokens();
        sum += objective.loss(tape, model, batch, pass, lossTokens, Checkpointing.NONE).sum();
      }
      tokens += batch.lossTokens();
    }
    double seconds = (System.nanoTime() - start) / 1e9;
    return Optional.of(new EvalMetrics(step, epoch, sum / tokens, tokens, seconds));
  }
}
