package ai.nibble.data;

import com.fasterxml.jackson.core.JsonProcessingException;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * The arguments of tool calls. Chat interfaces give them as JSON text, most templates take objects:
 * text would come out as a string in quotes. Some, such as DeepSeek-R1's, take text only.
 */
final class CallArguments {
  private CallArguments() {}

  /** The messages with all arguments that are JSON text of an object as that object. */
  static List<Map<String, Object>> asObjects(List<Map<String, Object>> messages) {
    List<Map<String, Object>> read = new ArrayList<>(messages.size());
    messages.forEach(message -> read.add(asObjects(message)));
    return read;
  }

  /** The message with such arguments of its calls as objects. */
  static Map<String, Object> asObjects(Map<String, Object> message) {
    if (!(message.get("tool_calls") instanceof List<?> calls)) {
      return message;
    }
    Map<String, Object> read = new LinkedHashMap<>(message);
    List<Object> parsed = new ArrayList<>(calls.size());
    calls.forEach(call -> parsed.add(parsed(call)));
    read.put("tool_calls", parsed);
    return read;
  }

  private static Object parsed(Object call) {
    if (!(call instanceof Map<?, ?> map)) {
      return call;
    }
    Map<Object, Object> read = new LinkedHashMap<>(map);
    read.computeIfPresent("function", (key, function) -> parsed(function));
    read.computeIfPresent(
        "arguments", (key, given) -> given instanceof String text ? object(text) : given);
    return read;
  }

  private static Object object(String text) {
    try {
      Object value = text.isBlank() ? Map.of() : JsonFiles.mapper().readValue(text, Object.class);
      return value instanceof Map ? value : text;
    } catch (JsonProcessingException e) {
      return text;
    }
  }
}
