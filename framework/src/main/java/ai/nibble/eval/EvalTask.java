package ai.nibble.eval;

import java.util.List;
import java.util.Map;
import java.util.function.Consumer;

/**
 * Something to measure a model on: items, what is computed for each, and the metrics of all.
 *
 * @param <R> what is kept of an item: a public record of numbers and text, written as a line of
 *     JSON
 */
public interface EvalTask<R extends Record> {
  /** Among the tasks of a run, such as {@code hellaswag}. */
  String name();

  /**
   * All that an item's result depends on besides the model, by the names of options: results under
   * other settings are not mixed with these.
   */
  Map<String, String> settings(ModelText text);

  /**
   * How many items there are.
   *
   * @throws ai.nibble.InvalidInputException where the task does not fit the model's tokenizer
   */
  int items(ModelText text);

  /** How an item's result is read back. */
  Class<R> resultType();

  /**
   * Computes items {@code [begin, end)}.
   *
   * @param results takes the results of items that were computed together, in order. What is
   *     computed together depends on where a batch begins, not on those before it
   */
  void evaluate(Subject subject, int begin, int end, Consumer<List<R>> results);

  /** The metrics of these items, of which there is at least one. */
  List<Metric> metrics(List<R> results);

  /** What people should know about these results, one line each; usually nothing. */
  default List<String> remarks(List<R> results) {
    return List.of();
  }
}
