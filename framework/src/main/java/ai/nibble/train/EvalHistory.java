package ai.nibble.train;

import ai.nibble.checkpoint.PartState;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * The evaluations of a run so far: which was the best, which of those that are saved, and whether a
 * better one may still be expected.
 *
 * <p>Early stopping counts as transformers' {@code EarlyStoppingCallback} does: an evaluation is a
 * gain if its loss is below the lowest so far by more than the threshold; so many in a row without
 * one, and the run ends.
 */
final class EvalHistory {
  /** Name of what a checkpoint holds of it. */
  static final String PART = "evaluations";

  private final EndRules rules;
  private int count;
  private int lastStep;
  private double lowest = Double.POSITIVE_INFINITY;
  private int withoutGain;
  private Optional<Saved> best = Optional.empty();

  /** A saved step and its evaluation loss. */
  record Saved(int step, double loss) {}

  EvalHistory(EndRules rules) {
    this.rules = rules;
  }

  /**
   * @param step after which it was
   * @param loss one that is not finite is no gain
   * @param saved whether the weights of this step can be had again
   */
  void add(int step, double loss, boolean saved) {
    count++;
    lastStep = step;
    withoutGain = lowest - loss > rules.earlyStoppingThreshold() ? 0 : withoutGain + 1;
    lowest = loss < lowest ? loss : lowest;
    if (saved && Double.isFinite(loss) && (best.isEmpty() || loss < best.get().loss())) {
      best = Optional.of(new Saved(step, loss));
    }
  }

  /** How many there were. */
  int count() {
    return count;
  }

  /** Whether there was one after this step. */
  boolean has(int step) {
    return lastStep == step && count > 0;
  }

  /** Whether so many were without a gain that the run ends. */
  boolean isExhausted() {
    return rules.earlyStoppingPatience() > 0 && withoutGain >= rules.earlyStoppingPatience();
  }

  /** The lowest loss; infinite before the first finite one. */
  double lowest() {
    return lowest;
  }

  /** The saved step with the lowest loss, the first of equals. */
  Optional<Saved> best() {
    return best;
  }

  PartState state() {
    Map<String, List<Double>> numbers = new LinkedHashMap<>();
    numbers.put("count", List.of((double) count));
    numbers.put("last_step", List.of((double) lastStep));
    numbers.put("without_gain", List.of((double) withoutGain));
    numbers.put("lowest", Double.isFinite(lowest) ? List.of(lowest) : List.of());
    best.ifPresent(b -> numbers.put("best", List.of((double) b.step(), b.loss())));
    return new PartState(numbers);
  }

  void restore(PartState saved) {
    count = saved.count("count");
    lastStep = saved.count("last_step");
    withoutGain = saved.count("without_gain");
    lowest = saved.number("lowest", Double.POSITIVE_INFINITY);
    List<Double> pair = saved.list("best");
    best =
        pair.size() == 2
            ? Optional.of(new Saved(pair.get(0).intValue(), pair.get(1)))
            : Optional.empty();
  }
}
