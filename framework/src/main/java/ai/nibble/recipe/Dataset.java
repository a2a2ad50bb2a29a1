package ai.nibble.recipe;

import ai.nibble.data.Row;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Collections;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * A file of rows.
 *
 * @param path a file, or a directory that {@code split} names a file of; absolute
 * @param columns the type's own field name, to the name the file has for it
 * @param limit only the first rows, this many; empty: all
 */
public record Dataset(
    @Key(value = "path", doc = "The file of rows, or with `split` its directory") Path path,
    @Key(
            value = "type",
            doc = "The form of a row (datasets/README.md)",
            means = {
              @Key.Means(value = "completion", as = "text"),
              @Key.Means(value = "chat_template|chatml|openai", as = "messages")
            },
            refuse =
                @Key.Refuse(
                    value = "preference|dpo|kto",
                    why = "not supported yet: method sft takes no rows of preferences"))
        RowType type,
    @Key(
            value = "split",
            byDefault = "null",
            doc = "In a directory: the file `<split>.jsonl` (or .json, .txt)")
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
        Optional<Integer> limit) {

  private static final List<String> ENDINGS = List.of(".jsonl", ".json", ".txt");

  /** Copies the map, keeping its order. */
  public Dataset {
    columns = Collections.unmodifiableMap(new LinkedHashMap<>(columns));
  }

  /** The file to read: {@code path}, or in a directory the split's file. */
  public Path file() {
    if (split.isEmpty() || !Files.isDirectory(path)) {
      return path;
    }
    return splitFiles(path, split).stream().filter(Files::isRegularFile).findFirst().orElse(path);
  }

  /** The files that {@code split} may stand for, in the order in which they are looked for. */
  static List<Path> splitFiles(Path path, Optional<String> split) {
    return split.stream()
        .flatMap(name -> ENDINGS.stream().map(ending -> path.resolve(name + ending)))
        .toList();
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
    TEXT
  }
}
