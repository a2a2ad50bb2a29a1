package ai.nibble.data;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.InvalidInputException;
import ai.nibble.Shared;
import com.fasterxml.jackson.core.type.TypeReference;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Stream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The loss of the conversations in the template fixtures, decoded back to text. */
@Tag("golden")
class PublishedMasksTest {
  private static final ObjectMapper JSON = new ObjectMapper();
  private static final List<String> CONTROLS =
      List.of(
          "<|eot_id|>",
          "<|start_header_id|>",
          "<|end_header_id|>",
          "<|begin_of_text|>",
          "<s>",
          "</s>",
          "[INST]",
          "[/INST]",
          "[TOOL_CALLS]",
          "[TOOL_RESULTS]",
          "[/TOOL_RESULTS]",
          "[AVAILABLE_TOOLS]",
          "[/AVAILABLE_TOOLS]",
          "<start_of_turn>",
          "<end_of_turn>",
          "<|system|>",
          "<|user|>",
          "<|assistant|>",
          "<|end|>",
          "<｜begin▁of▁sentence｜>",
          "<｜end▁of▁sentence｜>",
          "<｜User｜>",
          "<｜Assistant｜>",
          "<｜tool▁calls▁begin｜>",
          "<｜tool▁calls▁end｜>",
          "<｜tool▁call▁begin｜>",
          "<｜tool▁call▁end｜>",
          "<|eom_id|>");

  @TempDir private Path directory;

  private Tokenizer tokenizer() throws IOException {
    Path model = Shared.path("models/smollm2-135m-instruct");
    ObjectNode root = (ObjectNode) JSON.readTree(model.resolve("tokenizer.json").toFile());
    ArrayNode added = (ArrayNode) root.get("added_tokens");
    int id = root.get("model").get("vocab").size();
    for (String text : CONTROLS) {
      added
          .addObject()
          .put("id", id++)
          .put("content", text)
          .put("single_word", false)
          .put("lstrip", false)
          .put("rstrip", false)
          .put("normalized", false)
          .put("special", true);
    }
    JSON.writeValue(directory.resolve("tokenizer.json").toFile(), root);
    ObjectNode config = JSON.createObjectNode().put("bos_token", "<s>").put("eos_token", "</s>");
    JSON.writeValue(directory.resolve("tokenizer_config.json").toFile(), config);
    return Tokenizer.load(directory);
  }

  @Test
  void lossFallsOnWhatTheModelWouldWrite() throws IOException {
    int turns = 0;
    int rewritten = 0;
    int files = 0;
    try (Tokenizer tokenizer = tokenizer();
        Stream<Path> list = Files.list(Shared.fixtures("templates"))) {
      for (Path file : list.filter(f -> f.toString().endsWith(".json")).sorted().toList()) {
        files++;
        JsonNode fixture = JSON.readTree(file.toFile());
        ChatTemplate template = template(fixture.get("template").asText());
        ExampleEncoder encoder =
            new ExampleEncoder(tokenizer, template, EncodingSettings.withLength(4096));
        for (JsonNode each : fixture.get("cases")) {
          if (each.has("error")) {
            assertThrows(InvalidInputException.class, () -> encoder.encode(conversation(each)));
            continue;
          }
          List<String> expected = byPrefixes(template, conversation(each));
          if (expected == null) {
            rewritten++;
            continue;
          }
          String where = file.getFileName() + " " + each.get("name").asText();
          List<String> trained = trained(tokenizer, encoder.encode(conversation(each)));
          assertEquals(expected, trained.stream().map(String::strip).toList(), where);
          turns += expected.size();
        }
      }
    }
    System.out.println(
        "masks: "
            + files
            + " templates, "
            + turns
            + " turns equal to the difference of prefixes, "
            + rewritten
            + " conversations that have none");
    assertTrue(turns > 0);
  }

  private static ChatTemplate template(String text) {
    SpecialTokens special =
        new SpecialTokens(Map.of("bos_token", "<s>", "eos_token", "</s>"), Optional.empty());
    return ChatTemplate.of(text, "t", special, Map.of("date_string", "26 Jul 2024"));
  }

  /**
   * What each assistant turn adds to the rendering of what came before and the generation prompt:
   * the usual way to find it. Null where the template rewrites earlier turns, so that it does not
   * apply, or ignores tool calls, which are then put in as text.
   */
  private static List<String> byPrefixes(ChatTemplate template, Sample.Conversation c) {
    String all = template.render(c.messages(), c.tools(), false);
    List<String> turns = new ArrayList<>();
    for (int i = 0; i < c.messages().size(); i++) {
      if (!c.messages().get(i).get("role").equals("assistant")) {
        continue;
      }
      String before;
      String after;
      try {
        before = template.render(c.messages().subList(0, i), c.tools(), true);
        after = template.render(c.messages().subList(0, i + 1), c.tools(), false);
      } catch (InvalidInputException e) {
        return null;
      }
      boolean written =
          c.messages().get(i).get("tool_calls") == null || all.contains("get_weather\", \"");
      if (!all.startsWith(before) || !all.startsWith(after) || !written) {
        return null;
      }
      // Phi closes the whole conversation with an eos behind the end of the last turn.
      turns.add(after.substring(before.length()).strip().replaceFirst("(?<=\\|>)\\s+</s>$", ""));
    }
    return turns;
  }

  @Test
  void turnsThatATemplateRewritesAreFoundAllTheSame() throws IOException {
    Map<String, List<String>> expected =
        Map.of(
            "qwen3 thinking", List.of("Done.<|im_end|>"),
            "qwen3 chat",
                List.of(
                    "Hello! How can I help?<|im_end|>",
                    "<think>\n\n</think>\n\n3 + 4 = 7<|im_end|>"),
            "qwen3 tool_calls",
                List.of(
                    "<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Oslo\","
                        + " \"unit\": \"C\"}}\n</tool_call><|im_end|>",
                    "<think>\n\n</think>\n\n4 °C in Oslo.<|im_end|>"),
            "mistralai-Mistral-Nemo-Instruct-2407 tool_calls",
                List.of(
                    "[TOOL_CALLS][{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Oslo\","
                        + " \"unit\": \"C\"}, \"id\": \"abc123456\"}]</s>",
                    "4 °C in Oslo.</s>"),
            "deepseek-ai-DeepSeek-R1-Distill-Qwen-32B thinking",
                List.of("\n\nDone.<｜end▁of▁sentence｜>"),
            "google-gemma-2-2b-it whitespace", List.of("indented\n  text<end_of_turn>"),
            "smollm2 tool_calls",
                List.of(
                    "{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Oslo\", \"unit\":"
                        + " \"C\"}}<|im_end|>",
                    "4 °C in Oslo.<|im_end|>"));
    try (Tokenizer tokenizer = tokenizer()) {
      for (Map.Entry<String, List<String>> entry : expected.entrySet()) {
        String[] name = entry.getKey().split(" ");
        JsonNode fixture =
            JSON.readTree(Shared.fixtures("templates/" + name[0] + ".json").toFile());
        ExampleEncoder encoder =
            new ExampleEncoder(
                tokenizer,
                template(fixture.get("template").asText()),
                EncodingSettings.withLength(4096));
        for (JsonNode each : fixture.get("cases")) {
          if (each.get("name").asText().equals(name[1])) {
            Example example = encoder.encode(conversation(each));
            assertEquals(entry.getValue(), trained(tokenizer, example), entry.getKey());
          }
        }
      }
    }
  }

  private static Sample.Conversation conversation(JsonNode each) {
    List<Map<String, Object>> messages =
        JSON.convertValue(each.get("messages"), new TypeReference<>() {});
    List<Map<String, Object>> tools =
        each.get("tools").isNull()
            ? List.of()
            : JSON.convertValue(each.get("tools"), new TypeReference<>() {});
    return new Sample.Conversation(messages, tools, 0);
  }

  private static List<String> trained(Tokenizer tokenizer, Example example) {
    List<String> parts = new ArrayList<>();
    List<Integer> part = new ArrayList<>();
    for (int i = 0; i <= example.length(); i++) {
      if (i < example.length() && example.labels()[i] != Example.IGNORED) {
        part.add(example.labels()[i]);
      } else if (!part.isEmpty()) {
        parts.add(tokenizer.decode(part.stream().mapToInt(Integer::intValue).toArray(), false));
        part.clear();
      }
    }
    return parts;
  }
}
