package ai.nibble.data.format;

import ai.nibble.data.Row;
import ai.nibble.data.Sample;
import java.util.Locale;

/**
 * An answer and {@code label}: true where it is good. The answer and its prompt stand in the
 * columns of another format: {@code prompt} and {@code completion}, {@code messages}, {@code
 * conversations}, or {@code instruction} and {@code output}. Of a conversation the last message is
 * the answer that is judged.
 */
final class UnpairedPreferenceFormat implements RowFormat {
  @Override
  public String name() {
    return "unpaired_preference";
  }

  @Override
  public Sample read(Row row) {
    boolean desirable = label(row);
    Sample.Single answer = (Sample.Single) form(row).read(row);
    if (answer instanceof Sample.Conversation c && c.context() == 0) {
      int prompt = c.messages().size() - 1;
      if (prompt == 0) {
        throw row.wrong(
            row.has("messages") ? "messages" : "conversations",
            c.messages(),
            "a prompt and an answer behind it");
      }
      answer = new Sample.Conversation(c.messages(), c.tools(), prompt);
    }
    return new Sample.Judged(answer, desirable);
  }

  private static RowFormat form(Row row) {
    if (row.has("messages")) {
      return new MessagesFormat();
    }
    if (row.has("conversations")) {
      return new ShareGptFormat();
    }
    return row.has("instruction") ? new AlpacaFormat() : new PromptCompletionFormat();
  }

  /** True or false, as JSON, as a number or, from files that know text alone, as a word. */
  private static boolean label(Row row) {
    Object value = row.value("label");
    String word = value == null ? "" : value.toString().toLowerCase(Locale.ROOT).strip();
    return switch (word) {
      case "true", "1" -> true;
      case "false", "0" -> false;
      default -> {
        if (!row.columns().containsKey(row.name("label"))) {
          row.text("label"); // says that it is missing, and what there is
        }
        throw row.wrong("label", value, "true (a good answer) or false");
      }
    };
  }
}
