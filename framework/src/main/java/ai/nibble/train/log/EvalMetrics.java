package ai.nibble.train.log;

import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * One evaluation.
 *
 * @param step optimizer steps done before it
 * @param epoch passes over the training data by then
 * @param evalLoss mean over all target tokens of the evaluation set, or over its rows where the
 *     objective is one of whole rows
 * @param tokens target tokens of the set
 * @param seconds wall-clock time it took
 * @param measures what else the objective saw, means over the set by name
 */
public record EvalMetrics(
    int step,
    double epoch,
    double evalLoss,
    long tokens,
    double seconds,
    Map<String, Double> measures) {
  public EvalMetrics {
    measures = Collections.unmodifiableMap(new LinkedHashMap<>(measures));
  }

  /** An evaluation of the loss alone. */
  public EvalMetrics(int step, double epoch, double evalLoss, long tokens, double seconds) {
    this(step, epoch, evalLoss, tokens, seconds, Map.of());
  }
}
