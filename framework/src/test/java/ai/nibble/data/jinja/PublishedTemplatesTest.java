package ai.nibble.data.jinja;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.InvalidInputException;
import ai.nibble.Shared;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Stream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

@Tag("golden")
class PublishedTemplatesTest {
  private static final ObjectMapper JSON = new ObjectMapper();

  @Test
  void publishedTemplatesRenderAsTheReferenceDoes() throws IOException {
    List<Path> files;
    try (Stream<Path> list = Files.list(Shared.fixtures("templates"))) {
      files = list.filter(f -> f.toString().endsWith(".json")).sorted().toList();
    }
    int texts = 0;
    int refusals = 0;
    for (Path file : files) {
      JsonNode fixture = JSON.readTree(file.toFile());
      JinjaTemplate template =
          JinjaTemplate.compile(fixture.get("template").asText(), file.getFileName().toString());
      for (JsonNode each : fixture.get("cases")) {
        String where = file.getFileName() + " " + each.get("name").asText();
        if (each.has("error")) {
          assertThrows(InvalidInputException.class, () -> template.render(variables(each)), where);
          refusals++;
        } else {
          assertEquals(each.get("expected").asText(), template.render(variables(each)), where);
          texts++;
        }
      }
    }
    System.out.println(
        "templates: " + files.size() + " files, " + texts + " texts, " + refusals + " refusals");
    assertTrue(texts > 0 && refusals > 0);
  }

  private static Map<String, Object> variables(JsonNode each) {
    Map<String, Object> variables = new TreeMap<>();
    for (String key : List.of("messages", "tools", "add_generation_prompt")) {
      variables.put(key, JSON.convertValue(each.get(key), Object.class));
    }
    each.get("variables")
        .properties()
        .forEach(e -> variables.put(e.getKey(), e.getValue().asText()));
    return variables;
  }
}
