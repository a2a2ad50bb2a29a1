package ai.nibble.data;

import ai.nibble.InvalidInputException;
import com.fasterxml.jackson.databind.JsonNode;
import java.nio.file.Path;
import java.util.List;

/**
 * What a post-processor puts around a text. The library is given none; Nibble reads its template
 * ({@link TextTemplate}).
 */
final class PostProcessorCheck {
  private PostProcessorCheck() {}

  static void check(Path path, String where, JsonNode node) {
    if (node.path("type").asText().equals("TemplateProcessing")) {
      template(path, where, node);
    }
    for (JsonNode inner : node.path("processors")) {
      check(path, where + ".processors", inner);
    }
  }

  private static void template(Path path, String where, JsonNode node) {
    for (String form : List.of("single", "pair")) {
      for (JsonNode piece : node.path(form)) {
        JsonNode name = piece.path("SpecialToken").path("id");
        JsonNode defined = node.path("special_tokens").path(name.asText());
        if (name.isTextual() && !defined.path("ids").isArray()) {
          throw new InvalidInputException(
              path
                  + ": "
                  + where
                  + ": the template names '"
                  + JsonFiles.shown(name.asText())
                  + "', which is not in its special_tokens");
        }
        if (name.isTextual() && defined.path("ids").size() != defined.path("tokens").size()) {
          throw new InvalidInputException(
              path
                  + ": "
                  + where
                  + ": '"
                  + JsonFiles.shown(name.asText())
                  + "' has not as many ids as tokens");
        }
      }
    }
  }
}
