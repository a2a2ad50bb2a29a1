package ai.nibble.data.format;

import ai.nibble.data.Row;
import ai.nibble.data.Sample;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/**
 * {@code instruction}, {@code input} (optional), {@code output}: one question and its answer, the
 * input on a line of its own below the instruction. Also {@code system}, and {@code history}:
 * earlier pairs of question and answer.
 */
final class AlpacaFormat implements RowFormat {
  @Override
  public String name() {
    return "alpaca";
  }

  @Override
  public Sample read(Row row) {
    List<Map<String, Object>> messages = question(row);
    messages.add(Messages.of("assistant", row.text("output")));
    return new Sample.Conversation(messages, List.of(), 0);
  }

  /** All that stands before the answer. */
  static List<Map<String, Object>> question(Row row) {
    return question(row, "instruction");
  }

  /**
   * All that stands before the answer.
   *
   * @param column that has what is asked
   */
  static List<Map<String, Object>> question(Row row, String column) {
    List<Map<String, Object>> messages = new ArrayList<>();
    row.optionalText("system")
        .filter(system -> !system.isEmpty())
        .ifPresent(system -> messages.add(Messages.of("system", system)));
    history(row, messages);
    String instruction = row.text(column);
    String input = row.optionalText("input").orElse("");
    String separator = instruction.isEmpty() || input.isEmpty() ? "" : "\n";
    messages.add(Messages.of("user", instruction + separator + input));
    return messages;
  }

  private static void history(Row row, List<Map<String, Object>> messages) {
    Object history = row.value("history");
    if (history == null) {
      return;
    }
    if (!(history instanceof List<?> turns)) {
      throw row.wrong("history", history, "a list of [question, answer]");
    }
    for (int i = 0; i < turns.size(); i++) {
      boolean pair =
          turns.get(i) instanceof List<?> turn
              && turn.size() == 2
              && turn.stream().allMatch(String.class::isInstance);
      if (!pair) {
        throw row.wrong("history[" + i + "]", turns.get(i), "[question, answer]");
      }
      List<?> turn = (List<?>) turns.get(i);
      messages.add(Messages.of("user", (String) turn.get(0)));
      messages.add(Messages.of("assistant", (String) turn.get(1)));
    }
  }
}
