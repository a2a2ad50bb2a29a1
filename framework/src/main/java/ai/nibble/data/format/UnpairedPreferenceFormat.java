package ai.nibble.data.format;

import ai.nibble.data.JudgedPairs;
import ai.nibble.data.Row;
import ai.nibble.data.Sample;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/**
 * An answer and {@code label}: true where it is good. The answer and its prompt stand in the
 * columns of another format: {@code prompt} and {@code completion}, {@code messages}, {@code
 * conversations}, or {@code instruction} and {@code output}; or in {@code instruction} or {@code
 * question}, and {@code completion}. Of a conversation the last message is the answer that is
 * judged. Where a row has {@code chosen} and {@code rejected} as {@link PreferenceFormat} has them,
 * the answer is the one that the label says.
 */
final class UnpairedPreferenceFormat implements RowFormat {
  @Override
  public String name() {
    return "unpaired_preference";
  }

  @Override
  public Sample read(Row row) {
    boolean desirable = label(row);
    if (row.has("chosen") && row.has("rejected")) {
      Sample.Pair pair = (Sample.Pair) new PreferenceFormat().read(row);
      return new Sample.Judged(desirable ? pair.chosen() : pair.rejected(), desirable);
    }
    Sample.Single answer = answer(row);
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

  private static Sample.Single answer(Row row) {
    if (row.has("completion") && !row.has("prompt")) {
      for (String column : List.of("instruction", "question")) {
        if (row.has(column)) {
          List<Map<String, Object>> messages = AlpacaFormat.question(row, column);
          messages.add(Messages.of("assistant", row.text("completion")));
          return new Sample.Conversation(messages, List.of(), 0);
        }
      }
    }
    return (Sample.Single) form(row).read(row);
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
    Object value = row.value(JudgedPairs.LABEL);
    String word = value == null ? "" : value.toString().toLowerCase(Locale.ROOT).strip();
    return switch (word) {
      case "true", "1" -> true;
      case "false", "0" -> false;
      default -> {
        if (!row.columns().containsKey(row.name(JudgedPairs.LABEL))) {
          row.text(JudgedPairs.LABEL); // says that it is missing, and what there is
        }
        throw row.wrong(JudgedPairs.LABEL, value, "true (a good answer) or false");
      }
    };
  }
}
