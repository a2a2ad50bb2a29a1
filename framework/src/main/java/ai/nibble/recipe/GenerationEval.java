package ai.nibble.recipe;

import ai.nibble.eval.AnswerMetric;
import java.nio.file.Path;
import java.util.Map;
import java.util.Optional;

/**
 * Held-out rows whose answers are generated before and after training.
 *
 * @param path a file of rows, each ending with the expected answer; absolute
 * @param limit only the first rows, this many; empty: all
 * @param show examples printed
 */
public record GenerationEval(
    @Key(value = "path", doc = "The file of rows; each ends with the expected answer") Path path,
    @Key(
            value = "type",
            byDefault = "messages",
            doc = "The form of a row (datasets/README.md)",
            refuse =
                @Key.Refuse(
                    value = "text|completion",
                    why = "text without a question: use rows that have an answer of their own"))
        Dataset.RowType type,
    @Key(
            value = "limit",
            byDefault = "null",
            range = "[1, inf)",
            doc = "Only the first rows, this many")
        Optional<Integer> limit,
    @Key(
            value = "metric",
            byDefault = "exact_text",
            doc =
                "When an answer is right: `exact_json` as trees of JSON, `exact_text` but for white space at its ends")
        AnswerMetric metric,
    @Key(
            value = "max_new_tokens",
            byDefault = "256",
            range = "[1, 1048576]",
            doc = "Most tokens of an answer")
        int maxNewTokens,
    @Key(value = "show", byDefault = "3", range = "[0, 1000]", doc = "Examples printed") int show) {

  /** The same rows as a dataset. */
  Dataset dataset() {
    return new Dataset(path, type, Optional.empty(), Map.of(), limit);
  }
}
