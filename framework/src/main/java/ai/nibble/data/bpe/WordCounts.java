package ai.nibble.data.bpe;

import ai.nibble.InvalidInputException;
import ai.nibble.data.Row;
import ai.nibble.data.RowFile;
import ai.nibble.data.RowProblems;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** The distinct words of some texts, and how often each comes up. */
public final class WordCounts {
  private final SplitPattern pattern;
  private final Map<String, Long> counts = new HashMap<>();
  private long rows;
  private long total;

  /**
   * @param pattern what parts words
   */
  public WordCounts(SplitPattern pattern) {
    this.pattern = pattern;
  }

  /** Adds the words of a text. */
  public void add(String text) {
    pattern.split(
        text,
        word -> {
          counts.merge(word, 1L, Long::sum);
          total++;
        });
  }

  /**
   * Adds a data file row by row: the column {@code text}, or role and content of each of {@code
   * messages}; plain text line by line, without the lines' ends.
   *
   * @throws InvalidInputException where the file cannot be read, or a row has neither column
   */
  public void add(Path file) {
    try (RowFile lines = new RowFile(file, Map.of())) {
      RowProblems.forEach(file.toString(), lines, this::add);
    }
  }

  private void add(Row row) {
    rows++;
    if (row.has("text")) {
      add(row.text("text"));
    } else if (row.has("messages")) {
      List<Map<String, Object>> messages = row.objects("messages");
      for (int i = 0; i < messages.size(); i++) {
        // Templates write the role beside the content.
        if (messages.get(i).get("role") instanceof String role) {
          add(role);
        }
        Object content = messages.get(i).get("content");
        if (!(content instanceof String text)) {
          throw row.wrong("messages[" + i + "].content", content, "a string");
        }
        add(text);
      }
    } else {
      throw new InvalidInputException(
          row.where()
              + ": the row has "
              + row.columns().keySet()
              + ", expected 'text' or 'messages'");
    }
  }

  /** Rows read from files. */
  public long rows() {
    return rows;
  }

  /** Words, however often each comes up. */
  public long total() {
    return total;
  }

  /** Each word as it stands in the text, and how often. */
  Map<String, Long> counts() {
    return counts;
  }
}
