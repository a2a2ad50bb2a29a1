package ai.nibble.lora;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.InvalidInputException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.InputStream;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

/** Against what PEFT 0.21 answered; golden.py beside golden.json asked it. */
class PeftGoldenTest {
  private static JsonNode golden() throws Exception {
    try (InputStream in = PeftGoldenTest.class.getResourceAsStream("golden.json")) {
      return new ObjectMapper().readTree(in);
    }
  }

  private static List<String> texts(JsonNode node) {
    List<String> texts = new ArrayList<>();
    if (node.isTextual()) {
      texts.add(node.textValue());
    }
    node.forEach(item -> texts.add(item.textValue()));
    return texts;
  }

  private static List<Integer> numbers(JsonNode node) {
    List<Integer> numbers = new ArrayList<>();
    if (node.isInt()) {
      numbers.add(node.intValue());
    }
    node.forEach(item -> numbers.add(item.intValue()));
    return numbers;
  }

  private static TargetModules modules(JsonNode node) {
    return node.isTextual()
        ? TargetModules.ofString(node.textValue())
        : new TargetModules.Names(texts(node));
  }

  @Test
  void theModulesTargetedAreThoseOfPeft() throws Exception {
    JsonNode golden = golden();
    int compared = 0;
    for (JsonNode kase : golden.get("matches")) {
      List<Integer> layers = numbers(kase.get("layers"));
      LoraConfig config =
          new LoraConfig(
              8,
              16,
              0,
              modules(kase.get("targets")),
              modules(kase.get("exclude")),
              false,
              PathValues.none(),
              PathValues.none(),
              layers,
              layers.isEmpty() ? List.of() : texts(kase.get("pattern")),
              InitLoraWeights.KAIMING);
      TargetMatcher matcher = new TargetMatcher(config);
      List<String> paths = texts(golden.get("models").get(kase.get("model").textValue()));
      List<Integer> hits = new ArrayList<>();
      for (int i = 0; i < paths.size(); i++) {
        if (matcher.targets(paths.get(i))) {
          hits.add(i);
        }
      }
      assertEquals(numbers(kase.get("hits")), hits, kase::toString);
      compared++;
    }
    System.out.println("targets: " + compared + " settings compared with PEFT");
    assertTrue(compared > 900, "compared " + compared);
  }

  @Test
  void thePatternKeysFoundAreThoseOfPeft() throws Exception {
    JsonNode golden = golden();
    int compared = 0;
    for (JsonNode kase : golden.get("keys")) {
      Map<String, Integer> map = new LinkedHashMap<>();
      texts(kase.get("keys")).forEach(key -> map.put(key, map.size()));
      PathValues<Integer> values = new PathValues<>("rank_pattern", map);
      List<Integer> found =
          texts(golden.get("models").get(kase.get("model").textValue())).stream()
              .map(path -> values.get(path).orElse(-1))
              .toList();
      assertEquals(numbers(kase.get("found")), found, kase::toString);
      compared++;
    }
    assertEquals(39, compared);
  }

  @Test
  void whatPythonRefusesIsRefused() throws Exception {
    for (String bad : texts(golden().get("refused"))) {
      InvalidInputException e =
          assertThrows(InvalidInputException.class, () -> TargetModules.ofString(bad), bad);
      assertTrue(e.getMessage().startsWith("target_modules: '" + bad + "' is no regular"), bad);
      assertEquals(1, e.getMessage().lines().count());
    }
  }
}
