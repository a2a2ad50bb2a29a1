package ai.nibble.recipe;

import ai.nibble.eval.AnswerMetric;
import java.nio.file.Path;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;

/**
 * Held-out rows whose answers are generated before and after training.
 *
 * @param path a file of rows, each ending with the expected answer, or a directory that {@code
 *     split} names a file of; absolute
 * @param columns the type's own field name, to the name the file has for it
 * @param limit only the first rows, this many; empty: all
 * @param show examples printed
 */
public record GenerationEval(
    @Key(
            value = "path",
            doc =
                "The file of rows, each ending with the expected answer; a pattern of files, or with"
                    + " `split` a directory")
        Path path,
    @Key(
            value = "type",
            byDefault = "messages",
            doc = "The form of a row (datasets/README.md)",
            refuse = {
              @Key.Refuse(
                  value = "text|completion",
                  why = "text without a question: use rows that have an answer of their own"),
              @Key.Refuse(
                  value = "(unpaired_)?preference",
                  why = "answers that are judged: use rows that have the one right answer")
            })
        Dataset.RowType type,
    @Key(
            value = "split",
            byDefault = "null",
            doc = "In a directory: the part to read, for example `test` (datasets/README.md)")
        Optional<String> split,
    @Key(
            value = "columns",
            byDefault = "{}",
            doc = "Other names: the type's field, to the file's name for it")
        Map<String, String> columns,
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

  /** Copies the map, keeping its order. */
  public GenerationEval {
    columns = Collections.unmodifiableMap(new LinkedHashMap<>(columns));
  }

  /** The same rows as a dataset. */
  Dataset dataset() {
    return new Dataset(path, type, split, columns, limit, 1);
  }
}
