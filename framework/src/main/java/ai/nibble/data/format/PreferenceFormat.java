package ai.nibble.data.format;

import ai.nibble.data.Row;
import ai.nibble.data.Sample;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.regex.Pattern;

/**
 * {@code chosen} and {@code rejected}: two answers to one prompt, each a string, a message or a
 * list of messages. The prompt is the column {@code prompt} (a string or a list of messages),
 * {@code messages}, {@code conversations} as {@link ShareGptFormat} has them (with {@code system}),
 * or {@code instruction} (or {@code question}) and {@code input} as {@link AlpacaFormat} has them;
 * without any of these, what the two answers begin with alike. {@code tools} (optional) goes with
 * messages.
 */
final class PreferenceFormat implements RowFormat {
  /** Files without nested values keep a list of messages as JSON text. */
  private static final Pattern LIST = Pattern.compile("\\s*\\[\\s*\\{");

  @Override
  public String name() {
    return "preference";
  }

  @Override
  public Sample read(Row row) {
    if (row.has("conversations")) {
      return conversation(row, ShareGptFormat.messages(row));
    }
    if (row.has("messages")) {
      return conversation(row, Messages.of(row, "messages"));
    }
    if (row.has("instruction")) {
      return conversation(row, AlpacaFormat.question(row));
    }
    if (row.value("prompt") instanceof List) {
      return conversation(row, Messages.of(row, "prompt"));
    }
    if (!row.has("prompt") && row.has("question")) {
      return conversation(row, AlpacaFormat.question(row, "question"));
    }
    boolean texts = row.value("chosen") instanceof String;
    if (!row.has("prompt")) {
      return texts ? sharedText(row) : sharedMessages(row, null);
    }
    String prompt = row.text("prompt");
    if (texts) {
      return new Sample.Pair(
          new Sample.Text(prompt, row.text("chosen")),
          new Sample.Text(prompt, row.text("rejected")));
    }
    // some data sets name the question beside messages that begin with it
    boolean whole = !"assistant".equals(answer(row, "chosen").get(0).get("role"));
    return whole
        ? sharedMessages(row, prompt)
        : conversation(row, List.of(Messages.of("user", prompt)));
  }

  private static Sample conversation(Row row, List<Map<String, Object>> prompt) {
    return new Sample.Pair(
        behind(row, prompt, answer(row, "chosen")), behind(row, prompt, answer(row, "rejected")));
  }

  private static Sample.Conversation behind(
      Row row, List<Map<String, Object>> prompt, List<Map<String, Object>> answer) {
    List<Map<String, Object>> messages = new ArrayList<>(prompt);
    messages.addAll(answer);
    return new Sample.Conversation(messages, row.tools(), prompt.size());
  }

  /** An answer's messages: a string is what the assistant says. */
  private static List<Map<String, Object>> answer(Row row, String column) {
    Object value = row.value(column);
    if (value instanceof String text && !LIST.matcher(text).lookingAt()) {
      return List.of(Messages.of("assistant", text));
    }
    if (value instanceof Map<?, ?> turn) {
      return turn.containsKey("from")
          ? List.of(ShareGptFormat.message(row, column, Messages.copy(turn)))
          : List.of(Messages.checked(row, column, Messages.copy(turn)));
    }
    return Messages.of(row, column);
  }

  /**
   * Two conversations that begin alike.
   *
   * @param prompt what one of the shared messages must say; null: anything
   */
  private static Sample sharedMessages(Row row, String prompt) {
    List<Map<String, Object>> chosen = answer(row, "chosen");
    List<Map<String, Object>> rejected = answer(row, "rejected");
    int most = Math.min(chosen.size(), rejected.size());
    int shared = 0;
    while (shared < most && chosen.get(shared).equals(rejected.get(shared))) {
      shared++;
    }
    boolean same = shared == chosen.size() && shared == rejected.size();
    shared -= same ? 1 : 0; // whoever encodes them sees that the answers are one
    if (shared == most && !same) {
      String longer = chosen.size() > most ? "chosen" : "rejected";
      String other = longer.equals("chosen") ? "rejected" : "chosen";
      throw row.wrong(
          other, row.value(other), "messages that end with an answer: '" + longer + "' goes on");
    }
    List<Map<String, Object>> question = chosen.subList(0, shared);
    requirePrompt(row, prompt != null || shared > 0);
    if (prompt != null && question.stream().noneMatch(m -> prompt.equals(m.get("content")))) {
      throw row.wrong("prompt", prompt, "what 'chosen' and 'rejected' both begin with");
    }
    return new Sample.Pair(
        new Sample.Conversation(chosen, row.tools(), shared),
        new Sample.Conversation(rejected, row.tools(), shared));
  }

  /** Answers to nothing are answers whose prompt stands where nobody looks for it. */
  private static void requirePrompt(Row row, boolean found) {
    if (!found) {
      row.text("prompt"); // says that it is missing, and what there is
    }
  }

  private static Sample sharedText(Row row) {
    String chosen = row.text("chosen");
    String rejected = row.text("rejected");
    int most = Math.min(chosen.length(), rejected.length());
    int shared = 0;
    while (shared < most && chosen.charAt(shared) == rejected.charAt(shared)) {
      shared++;
    }
    // a word's space belongs to it, and half of a character to nobody
    if (shared > 0 && shared < most) {
      char last = chosen.charAt(shared - 1);
      shared -= last == ' ' || Character.isHighSurrogate(last) ? 1 : 0;
    }
    requirePrompt(row, shared > 0);
    String prompt = chosen.substring(0, shared);
    return new Sample.Pair(
        new Sample.Text(prompt, chosen.substring(shared)),
        new Sample.Text(prompt, rejected.substring(shared)));
  }
}
