package ai.nibble.data.format;

import ai.nibble.data.Row;
import ai.nibble.data.Sample;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * {@code conversations}: a list of {@code from} and {@code value}; {@code system} and {@code tools}
 * (optional). A {@code function_call} becomes the assistant's {@code tool_calls}, an {@code
 * observation} a message of the role {@code tool}.
 */
final class ShareGptFormat implements RowFormat {
  private static final Map<String, String> ROLES =
      Map.ofEntries(
          Map.entry("human", "user"),
          Map.entry("user", "user"),
          Map.entry("gpt", "assistant"),
          Map.entry("chatgpt", "assistant"),
          Map.entry("assistant", "assistant"),
          Map.entry("model", "assistant"),
          Map.entry("system", "system"),
          Map.entry("function_call", "function_call"),
          Map.entry("observation", "tool"),
          Map.entry("function_response", "tool"),
          Map.entry("tool", "tool"));

  @Override
  public String name() {
    return "sharegpt";
  }

  @Override
  public Sample read(Row row) {
    return new Sample.Conversation(messages(row), row.tools(), 0);
  }

  /** The turns as messages, that of the column {@code system} first. */
  static List<Map<String, Object>> messages(Row row) {
    List<Map<String, Object>> messages = new ArrayList<>();
    row.optionalText("system")
        .filter(system -> !system.isEmpty())
        .ifPresent(system -> messages.add(Messages.of("system", system)));
    List<Map<String, Object>> turns = row.objects("conversations");
    if (turns.isEmpty()) {
      throw row.wrong("conversations", turns, "at least one turn");
    }
    for (int i = 0; i < turns.size(); i++) {
      messages.add(message(row, "conversations[" + i + "]", turns.get(i)));
    }
    return messages;
  }

  /**
   * A turn as a message.
   *
   * @param where its place, for messages
   */
  static Map<String, Object> message(Row row, String where, Map<String, Object> turn) {
    Object from = turn.get("from");
    String role = from instanceof String name ? ROLES.get(name) : null;
    if (role == null) {
      throw row.wrong(where + ".from", from, "one of " + ROLES.keySet().stream().sorted().toList());
    }
    if (!(turn.get("value") instanceof String value)) {
      throw row.wrong(where + ".value", turn.get("value"), "a string");
    }
    return role.equals("function_call")
        ? functionCall(row, where + ".value", value)
        : Messages.of(role, value);
  }

  /** The text holds one call as JSON, or a list of them: {@code {"name": …, "arguments": {…}}}. */
  private static Map<String, Object> functionCall(Row row, String where, String text) {
    Object parsed = row.json(where, text);
    List<?> calls = parsed instanceof List<?> list ? list : List.of(parsed == null ? "" : parsed);
    List<Object> toolCalls = new ArrayList<>();
    for (Object call : calls) {
      if (!(call instanceof Map<?, ?> map) || !(map.get("name") instanceof String)) {
        throw row.wrong(where, text, "JSON with 'name' and 'arguments'");
      }
      Map<String, Object> function = new LinkedHashMap<>();
      function.put("name", map.get("name"));
      Object arguments = map.get("arguments");
      function.put("arguments", arguments == null ? Map.of() : arguments);
      toolCalls.add(Map.of("type", "function", "function", function));
    }
    Map<String, Object> message = Messages.of("assistant", "");
    message.put("tool_calls", toolCalls);
    return message;
  }
}
