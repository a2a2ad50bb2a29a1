package ai.nibble.data.jinja;

import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.InvalidInputException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.InputStream;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

/** Expected texts from Jinja 3.1.6 in the environment of transformers 5.23. */
class LanguageTest {
  @Test
  void theLanguageIsJinjas() throws IOException {
    ObjectMapper json = new ObjectMapper();
    JsonNode golden;
    try (InputStream in = LanguageTest.class.getResourceAsStream("language.json")) {
      golden = json.readTree(in);
    }
    @SuppressWarnings("unchecked")
    Map<String, Object> variables = json.convertValue(golden.get("variables"), Map.class);
    List<String> wrong = new ArrayList<>();
    for (JsonNode each : golden.get("cases")) {
      String source = each.get("template").asText();
      String expected = each.has("error") ? null : each.get("expected").asText();
      String got;
      try {
        got = JinjaTemplate.compile(source, "case").render(variables);
      } catch (InvalidInputException e) {
        got = null;
        if (expected != null) {
          wrong.add(source + "\n   refused " + e.getMessage() + "\n  expected " + expected);
        }
      }
      if (got != null && !got.equals(expected)) {
        String reference = expected == null ? "refusal: " + each.get("error").asText() : expected;
        wrong.add(source + "\n       got " + got + "\n  expected " + reference);
      }
    }
    assertTrue(golden.get("cases").size() >= 150);
    assertTrue(wrong.isEmpty(), () -> wrong.size() + " differ:\n" + String.join("\n", wrong));
  }
}
