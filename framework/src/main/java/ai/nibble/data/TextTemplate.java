package ai.nibble.data;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.List;

/** The post-processor's template for one text. */
final class TextTemplate {
  private TextTemplate() {}

  /** Adds the ids that stand before the text. */
  static void prefix(JsonNode processor, List<Integer> prefix) {
    for (JsonNode inner : processor.path("processors")) {
      prefix(inner, prefix);
    }
    if (!processor.path("type").asText().equals("TemplateProcessing")) {
      return;
    }
    for (JsonNode piece : processor.path("single")) {
      if (piece.has("Sequence")) {
        return;
      }
      String name = piece.path("SpecialToken").path("id").asText();
      processor.path("special_tokens").path(name).path("ids").forEach(id -> prefix.add(id.asInt()));
    }
  }
}
