package ai.nibble.examples;

import ai.nibble.data.ChatTemplate;
import ai.nibble.data.EncodedDataset;
import ai.nibble.data.EncodingSettings;
import ai.nibble.data.ExampleEncoder;
import ai.nibble.data.Row;
import ai.nibble.data.RowFile;
import ai.nibble.data.Sample;
import ai.nibble.data.Tokenizer;
import ai.nibble.data.format.RowFormat;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/**
 * A row format of one's own: {@code {"q": …, "a": …, "source": …}}, where the source, if there is
 * one, becomes a system turn.
 */
public final class QuestionRows implements RowFormat {
  @Override
  public String name() {
    return "question";
  }

  /** A column that is missing or no string is an error that names file, line and column. */
  @Override
  public Sample read(Row row) {
    List<Map<String, Object>> messages = new ArrayList<>();
    row.optionalText("source")
        .ifPresent(source -> messages.add(message("system", "Source: " + source)));
    messages.add(message("user", row.text("q")));
    messages.add(message("assistant", row.text("a")));
    return new Sample.Conversation(messages, List.of(), 0);
  }

  private static Map<String, Object> message(String role, String content) {
    return Map.of("role", role, "content", content);
  }

  /**
   * Reads and tokenises a file of such rows for a model.
   *
   * @param base directory of the model's tokenizer and chat template
   * @param columns other names of the columns, for example {@code {q=question}}
   */
  public static EncodedDataset encode(Path base, Path file, Map<String, String> columns) {
    try (Tokenizer tokenizer = Tokenizer.load(base);
        RowFile rows = new RowFile(file, columns)) {
      ChatTemplate template = ChatTemplate.load(base, Map.of());
      ExampleEncoder encoder =
          new ExampleEncoder(tokenizer, template, EncodingSettings.withLength(512));
      return EncodedDataset.encode(file.toString(), rows, new QuestionRows(), encoder);
    }
  }
}
