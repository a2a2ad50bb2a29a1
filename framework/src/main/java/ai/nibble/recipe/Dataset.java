package ai.nibble.recipe;

import ai.nibble.InvalidInputException;
import ai.nibble.data.DataFiles;
import ai.nibble.data.Row;
import ai.nibble.data.RowFiles;
import java.nio.file.Path;
import java.util.Collections;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * A set of rows.
 *
 * @param path a file, a pattern of files, or a directory that {@code split} names files of;
 *     absolute
 * @param columns the type's own field name, to the name the file has for it
 * @param limit only the first rows, this many; empty: all
 * @param weight how often an epoch has each row
 */
public record Dataset(
    @Key(value = "path", doc = "The file of rows, a pattern of files, or with `split` a directory")
        Path path,
    @Key(
            value = "type",
            doc = "The form of a row (datasets/README.md)",
            means = {
              @Key.Means(value = "completion", as = "text"),
              @Key.Means(value = "chat_template|chatml|openai", as = "messages"),
              @Key.Means(value = "dpo|orpo|simpo|cpo", as = "preference"),
              @Key.Means(value = "kto", as = "unpaired_preference")
            },
            refuse =
                @Key.Refuse(
                    value = "(chatml|llama3|zephyr|chat_template|user_defined)\\..+",
                    why =
                        "one of Axolotl's: use preference for pairs or unpaired_preference for kto,"
                            + " which read its columns (datasets/README.md); the template is"
                            + " chat_template's"))
        RowType type,
    @Key(
            value = "split",
            byDefault = "null",
            doc = "In a directory: the part to read, for example `train` (datasets/README.md)")
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
            value = "weight",
            byDefault = "1",
            range = "(0, 1000]",
            doc =
                "How often an epoch has each row; a fraction is a draw of the rows, anew in each"
                    + " epoch. Not in `test_datasets`")
        double weight) {

  /** Copies the map, keeping its order. */
  public Dataset {
    columns = Collections.unmodifiableMap(new LinkedHashMap<>(columns));
  }

  /** The files to read, in their order; the path itself where nothing is found. */
  public List<Path> files() {
    try {
      return DataFiles.find(path, split);
    } catch (InvalidInputException e) {
      return List.of(path); // whoever reads it says what it is
    }
  }

  /** Opens the rows, all of them. */
  RowFiles open() {
    return new RowFiles(files(), columns);
  }

  /** What messages call it: the path, and the split of a directory. */
  String name() {
    return split.map(name -> path + " (" + name + ")").orElse(path.toString());
  }

  /** Rows up to the limit. */
  Iterator<Row> limited(Iterator<Row> rows) {
    if (limit.isEmpty()) {
      return rows;
    }
    return new Iterator<>() {
      private int left = limit.get();

      @Override
      public boolean hasNext() {
        return left > 0 && rows.hasNext();
      }

      @Override
      public Row next() {
        left--;
        return rows.next();
      }
    };
  }

  /** The form of a row. */
  public enum RowType {
    ALPACA,
    MESSAGES,
    SHAREGPT,
    PROMPT_COMPLETION,
    TEXT,
    PREFERENCE,
    UNPAIRED_PREFERENCE
  }
}
