package ai.nibble.datasets;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.List;

/**
 * A conversation.
 *
 * @param turns of user and assistant, by turns
 */
record Chat(List<String> turns) {
  static Chat of(String... turns) {
    return new Chat(List.of(turns));
  }

  /** As a row of type {@code messages}. */
  String json() {
    ObjectNode row = JsonNodeFactory.instance.objectNode();
    ArrayNode messages = row.putArray("messages");
    for (int i = 0; i < turns.size(); i++) {
      messages
          .addObject()
          .put("role", i % 2 == 0 ? "user" : "assistant")
          .put("content", turns.get(i));
    }
    return row.toString();
  }
}
