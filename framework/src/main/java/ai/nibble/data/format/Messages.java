package ai.nibble.data.format;

import ai.nibble.data.Row;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Pattern;

/** Messages as chat templates take them: {@code role}, {@code content} and more. */
final class Messages {
  // A role becomes part of the template's own text, so it must be a plain word.
  private static final Pattern ROLE = Pattern.compile("[A-Za-z][A-Za-z0-9_-]{0,63}");

  private Messages() {}

  static Map<String, Object> of(String role, String content) {
    Map<String, Object> message = new LinkedHashMap<>();
    message.put("role", role);
    message.put("content", content);
    return message;
  }

  /** An object as a message that may be changed. */
  static Map<String, Object> copy(Map<?, ?> object) {
    Map<String, Object> message = new LinkedHashMap<>();
    object.forEach((key, value) -> message.put((String) key, value));
    return message;
  }

  /** A message that stands alone in a column, checked. */
  static Map<String, Object> checked(Row row, String column, Map<String, Object> message) {
    check(row, column, message);
    return message;
  }

  /** The messages of a column, checked. */
  static List<Map<String, Object>> of(Row row, String column) {
    List<Map<String, Object>> messages = row.objects(column);
    if (messages.isEmpty()) {
      throw row.wrong(column, messages, "at least one message");
    }
    for (int i = 0; i < messages.size(); i++) {
      check(row, column + "[" + i + "]", messages.get(i));
    }
    return messages;
  }

  private static void check(Row row, String where, Map<String, Object> message) {
    Object role = message.get("role");
    if (!(role instanceof String name) || !ROLE.matcher(name).matches()) {
      throw row.wrong(where + ".role", role, "a role such as user or assistant");
    }
    Object content = message.get("content");
    boolean called = message.get("tool_calls") instanceof List<?> some && !some.isEmpty();
    boolean parts =
        content instanceof List<?> list
            && !list.isEmpty()
            && list.stream().allMatch(Messages::isText);
    if (!(content instanceof String) && !parts && !(content == null && called)) {
      throw row.wrong(where + ".content", content, "a string");
    }
    Object calls = message.get("tool_calls");
    if (calls == null) {
      return;
    }
    if (!(calls instanceof List<?> list)) {
      throw row.wrong(where + ".tool_calls", calls, "a list");
    }
    for (int i = 0; i < list.size(); i++) {
      checkCall(row, where + ".tool_calls[" + i + "]", list.get(i));
    }
  }

  /** A call, or the function in it: arguments are an object, or JSON text of one. */
  private static void checkCall(Row row, String where, Object call) {
    if (!(call instanceof Map<?, ?> map)) {
      throw row.wrong(where, call, "an object");
    }
    if (map.get("function") != null) {
      checkCall(row, where + ".function", map.get("function"));
    }
    if (map.get("arguments") instanceof String text
        && !text.isBlank()
        && !(row.json(where + ".arguments", text) instanceof Map)) {
      throw row.wrong(where + ".arguments", text, "an object, or JSON text of one");
    }
  }

  private static boolean isText(Object part) {
    return part instanceof Map<?, ?> map && map.get("text") instanceof String;
  }
}
