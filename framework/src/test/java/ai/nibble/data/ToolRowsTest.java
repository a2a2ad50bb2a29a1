package ai.nibble.data;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.InvalidInputException;
import ai.nibble.Shared;
import ai.nibble.data.format.RowFormat;
import com.fasterxml.jackson.core.type.TypeReference;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.net.URISyntaxException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Rows with tools, calls and reasoning, through published templates. */
class ToolRowsTest {
  private static final ObjectMapper JSON = new ObjectMapper();
  private static final String CALL =
      "{\"messages\": [{\"role\": \"user\", \"content\": \"Oslo?\"}, {\"role\": \"assistant\","
          + " \"content\": \"\", \"tool_calls\": [{\"type\": \"function\", \"function\":"
          + " {\"name\": \"weather\", \"arguments\": ARGUMENTS}}]}]}";

  @TempDir private Path directory;

  private static ChatTemplate template(String name) throws IOException {
    SpecialTokens special =
        new SpecialTokens(Map.of("bos_token", "<s>", "eos_token", "<|im_end|>"), Optional.empty());
    String source =
        JSON.readTree(Shared.fixtures("templates/" + name + ".json").toFile())
            .get("template")
            .asText();
    return ChatTemplate.of(source, name, special, Map.of("date_string", "26 Jul 2024"));
  }

  private static Row row(String json) throws IOException {
    return new Row(JSON.readValue(json, new TypeReference<>() {}), "f.jsonl:3", 3, Map.of());
  }

  private static Sample.Conversation call(String arguments) throws IOException {
    return (Sample.Conversation)
        RowFormat.named("messages").read(row(CALL.replace("ARGUMENTS", arguments)));
  }

  @Test
  void argumentsAsJsonTextAreTheObjectThatTheyHold() throws IOException {
    String object = "{\"city\": \"Oslo\", \"days\": 2}";
    String text = JSON.writeValueAsString(object);
    ChatTemplate qwen = template("qwen3");
    String rendered = qwen.render(call(object).messages(), List.of(), false);
    assertTrue(rendered.contains("\"arguments\": " + object), rendered);
    assertEquals(rendered, qwen.render(call(text).messages(), List.of(), false));
    assertEquals(
        qwen.render(call("{}").messages(), List.of(), false),
        qwen.render(call("\"\"").messages(), List.of(), false));
    ChatTemplate ignoring =
        ChatTemplate.of(
            SmallTokenizer.CHATML, "t", new SpecialTokens(Map.of(), Optional.empty()), Map.of());
    Sample.Conversation shown =
        ExampleEncoder.withVisibleCalls(
            call(text), ignoring.trace(call(text).messages(), List.of(), false));
    assertEquals(
        "{\"name\": \"weather\", \"arguments\": " + object + "}",
        shown.messages().get(1).get("content"));
    for (String bad : List.of("\"{\"", "\"[1]\"", "\"Oslo\"")) {
      InvalidInputException e = assertThrows(InvalidInputException.class, () -> call(bad));
      String place = "f.jsonl:3: column 'messages[1].tool_calls[0].function.arguments'";
      assertTrue(e.getMessage().startsWith(place), e.getMessage());
    }
  }

  @Test
  void aTemplateThatTakesArgumentsAsTextGetsText() throws IOException {
    String object = JSON.writeValueAsString("{\"city\": \"Oslo\"}");
    ChatTemplate deepseek = template("deepseek-ai-DeepSeek-R1-Distill-Qwen-32B");
    List<Map<String, Object>> messages = new ArrayList<>(call(object).messages());
    Map<String, Object> called = new LinkedHashMap<>(messages.get(1));
    called.put("content", null);
    messages.set(1, called);
    String rendered = deepseek.render(messages, List.of(), false);
    assertTrue(rendered.contains("```json\n{\"city\": \"Oslo\"}\n```"), rendered);
  }

  private static String decoded(Tokenizer tokenizer, Example example, boolean trained) {
    StringBuilder text = new StringBuilder();
    List<Integer> part = new ArrayList<>();
    for (int i = 0; i <= example.length(); i++) {
      boolean inside = i < example.length() && (example.labels()[i] != Example.IGNORED) == trained;
      if (inside) {
        part.add(example.inputIds()[i]);
      } else if (!part.isEmpty()) {
        int[] ids = part.stream().mapToInt(Integer::intValue).toArray();
        text.append(tokenizer.decode(ids, false)).append("¦");
        part.clear();
      }
    }
    return text.toString();
  }

  /** LLaMA-Factory's demonstration set: what the assistant said or called is trained, no more. */
  @ParameterizedTest
  @ValueSource(strings = {"qwen3", "Qwen-Qwen2.5-7B-Instruct"})
  @Tag("golden")
  void callsAndAnswersAreTrainedAndWhatToolsSaidIsNot(String name) throws IOException {
    int calls = 0;
    int observations = 0;
    EncodingSettings settings = EncodingSettings.withLength(16384);
    try (Tokenizer tokenizer = Tokenizer.load(Shared.path("models/smollm2-135m-instruct"));
        RowFile rows = new RowFile(Shared.path("data/glaive_toolcall_en_demo.json"), Map.of())) {
      ExampleEncoder encoder = new ExampleEncoder(tokenizer, template(name), settings);
      while (rows.hasNext()) {
        Row row = rows.next();
        Sample sample = RowFormat.named("sharegpt").read(row);
        ExampleEncoder.Encoded encoded = encoder.encoded(sample);
        assertFalse(encoded.callsAsText() || encoded.toolsUnseen(), row.where());
        String trained = decoded(tokenizer, encoded.example(), true);
        String given = decoded(tokenizer, encoded.example(), false);
        int at = 0;
        for (Map<String, Object> turn : row.objects("conversations")) {
          String value = ((String) turn.get("value")).strip();
          String wanted =
              turn.get("from").equals("function_call")
                  ? "{\"name\": \"" + ((Map<?, ?>) row.json("value", value)).get("name") + "\""
                  : value;
          if (turn.get("from").equals("gpt") || turn.get("from").equals("function_call")) {
            calls += turn.get("from").equals("function_call") ? 1 : 0;
            int found = trained.indexOf(wanted, at);
            assertTrue(found >= 0, row.where() + ": " + wanted + "\n in " + trained);
            at = trained.indexOf("<|im_end|>", found);
            assertTrue(at > 0, row.where() + " has a turn without its end");
          } else {
            observations += turn.get("from").equals("observation") ? 1 : 0;
            assertTrue(given.contains(wanted), row.where() + ": " + wanted);
            assertFalse(wanted.length() > 40 && trained.contains(wanted), row.where());
          }
        }
      }
    }
    assertEquals(211, calls);
    assertEquals(211, observations);
  }

  @Test
  void conversationsOfParquetAreThoseOfJsonToTheToken() throws IOException, URISyntaxException {
    SmallTokenizer.write(directory, false);
    List<List<Example>> read = new ArrayList<>();
    try (Tokenizer tokenizer = Tokenizer.load(directory)) {
      ExampleEncoder encoder =
          new ExampleEncoder(tokenizer, template("qwen3"), EncodingSettings.withLength(4096));
      for (String name : List.of("chats.jsonl", "chats.parquet")) {
        Path file =
            Path.of(ToolRowsTest.class.getResource("/ai/nibble/data/parquet/" + name).toURI());
        try (RowFile rows = new RowFile(file, Map.of())) {
          EncodedDataset set =
              EncodedDataset.encode(name, rows, RowFormat.named("messages"), encoder);
          assertEquals(0, set.summary().toolsUnseen() + set.summary().callsAsText());
          read.add(set.examples());
        }
      }
      for (int i = 0; i < 2; i++) {
        assertArrayEquals(read.get(0).get(i).inputIds(), read.get(1).get(i).inputIds());
        assertArrayEquals(read.get(0).get(i).labels(), read.get(1).get(i).labels());
      }
      String trained = decoded(tokenizer, read.get(1).get(0), true);
      assertTrue(trained.contains("I must look."), trained);
      assertTrue(trained.contains("getWeather"), trained);
      assertFalse(trained.contains("4 °C¦"), trained);
    }
  }
}
