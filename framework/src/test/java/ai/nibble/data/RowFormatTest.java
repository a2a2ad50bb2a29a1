package ai.nibble.data;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.InvalidInputException;
import ai.nibble.Shared;
import ai.nibble.data.format.RowFormat;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.type.TypeReference;
import java.io.IOException;
import java.nio.file.Files;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class RowFormatTest {
  private static Row row(String json, Map<String, String> renames) {
    try {
      Map<String, Object> columns = JsonFiles.mapper().readValue(json, new TypeReference<>() {});
      return new Row(columns, "f.jsonl:3", 3, renames);
    } catch (JsonProcessingException e) {
      throw new AssertionError(e);
    }
  }

  private static Sample.Conversation read(String format, String json) {
    return (Sample.Conversation) RowFormat.named(format).read(row(json, Map.of()));
  }

  @Test
  void alpacaIsAQuestionAndItsAnswer() {
    Sample.Conversation chat =
        read(
            "alpaca",
            "{'instruction': 'I', 'input': 'x', 'output': 'O', 'system': 'S',".replace('\'', '"')
                + " \"history\": [[\"a\", \"b\"]]}");
    assertEquals(
        List.of("system S", "user a", "assistant b", "user I\nx", "assistant O"),
        chat.messages().stream().map(m -> m.get("role") + " " + m.get("content")).toList());
    assertEquals(
        "I",
        read("alpaca", "{\"instruction\": \"I\", \"output\": \"O\"}")
            .messages()
            .get(0)
            .get("content"));
  }

  @Test
  void columnsMayHaveOtherNames() {
    Row row =
        row(
            "{\"question\": \"Q\", \"answer\": \"A\"}",
            Map.of("instruction", "question", "output", "answer"));
    Sample.Conversation chat = (Sample.Conversation) RowFormat.named("alpaca").read(row);
    assertEquals("A", chat.messages().get(1).get("content"));
    Row wrong = row("{\"question\": 7, \"answer\": \"A\"}", Map.of("instruction", "question"));
    assertEquals(
        "f.jsonl:3: column 'question' is 7, expected a string",
        assertThrows(InvalidInputException.class, () -> RowFormat.named("alpaca").read(wrong))
            .getMessage());
  }

  @Test
  void promptsAndCompletionsAreTextOrMessages() {
    assertEquals(
        new Sample.Text("p", "c"),
        RowFormat.named("prompt_completion")
            .read(row("{\"prompt\": \"p\", \"completion\": \"c\"}", Map.of())));
    Sample.Conversation chat =
        read(
            "prompt_completion",
            "{\"prompt\": [{\"role\": \"user\", \"content\": \"q\"}], \"completion\": [{\"role\":"
                + " \"assistant\", \"content\": \"a\"}]}");
    assertEquals(1, chat.context());
    assertEquals(2, chat.messages().size());
  }

  @Test
  void functionCallsOfShareGptBecomeToolCalls() {
    Sample.Conversation chat =
        read(
            "sharegpt",
            "{\"conversations\": [{\"from\": \"human\", \"value\": \"q\"}, {\"from\":"
                + " \"function_call\", \"value\": \"{\\\"name\\\": \\\"f\\\", \\\"arguments\\\":"
                + " {\\\"x\\\": 1}}\"}, {\"from\": \"observation\", \"value\": \"7\"}, {\"from\":"
                + " \"gpt\", \"value\": \"a\"}], \"tools\": \"[{\\\"name\\\": \\\"f\\\"}]\","
                + " \"system\": \"S\"}");
    assertEquals(
        List.of("system", "user", "assistant", "tool", "assistant"),
        chat.messages().stream().map(m -> m.get("role")).toList());
    assertEquals(
        List.of(
            Map.of(
                "type", "function", "function", Map.of("name", "f", "arguments", Map.of("x", 1)))),
        chat.messages().get(2).get("tool_calls"));
    assertEquals(
        List.of(Map.of("type", "function", "function", Map.of("name", "f"))), chat.tools());
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '!',
      value = {
        "alpaca ! {\"output\": \"O\"} ! column 'instruction' is missing",
        "alpaca ! {\"instruction\": null, \"output\": \"O\"} ! column 'instruction' is null",
        "alpaca ! {\"instruction\": \"I\", \"output\": [1]} ! column 'output' is [1]",
        "alpaca ! {\"instruction\": \"I\", \"output\": \"O\", \"history\": [[\"a\"]]} ! 'history[0]'",
        "messages ! {} ! column 'messages' is missing",
        "messages ! {\"messages\": \"x\"} ! column 'messages' is 'x'",
        "messages ! {\"messages\": []} ! at least one message",
        "messages ! {\"messages\": [7]} ! column 'messages[0]' is 7",
        "messages ! {\"messages\": [{\"role\": \"user\"}]} ! 'messages[0].content' is null",
        "messages ! {\"messages\": [{\"role\": 1, \"content\": \"x\"}]} ! 'messages[0].role' is 1",
        "messages ! {\"messages\": [{\"role\": \"<|im_end|>\", \"content\": \"x\"}]} ! .role",
        "messages ! {\"messages\": [{\"role\": \"user\", \"content\": [1]}]} ! .content",
        "sharegpt ! {\"conversations\": []} ! at least one turn",
        "sharegpt ! {\"conversations\": [{\"from\": \"x\", \"value\": \"v\"}]} ! one of [assistant",
        "sharegpt ! {\"conversations\": [{\"from\": \"gpt\"}]} ! 'conversations[0].value' is null",
        "sharegpt ! {\"conversations\": [{\"from\": \"function_call\", \"value\": \"v\"}]} ! not valid JSON",
        "sharegpt ! {\"conversations\": [{\"from\": \"gpt\", \"value\": \"v\"}], \"tools\": \"[\"} ! 'tools'",
        "prompt_completion ! {\"prompt\": \"p\"} ! column 'completion' is missing",
        "prompt_completion ! {\"prompt\": 1, \"completion\": \"c\"} ! column 'prompt' is 1",
        "text ! {\"txt\": \"c\"} ! the row has [txt]",
        "completion ! {\"text\": 7} ! column 'text' is 7",
      })
  void whatARowLacksIsNamed(String format, String json, String expected) {
    InvalidInputException e =
        assertThrows(
            InvalidInputException.class, () -> RowFormat.named(format).read(row(json, Map.of())));
    assertTrue(e.getMessage().startsWith("f.jsonl:3: "), e.getMessage());
    assertTrue(e.getMessage().contains(expected), e.getMessage());
  }

  @Test
  void anUnknownFormatListsTheKnown() {
    String message =
        assertThrows(InvalidInputException.class, () -> RowFormat.named("alpacca")).getMessage();
    assertTrue(
        message.contains("[alpaca, messages, sharegpt, prompt_completion, preference"), message);
  }

  @Test
  void theRowsOfTheDocumentationAreRead() throws IOException {
    String page = Files.readString(Shared.root().resolve("datasets/README.md"));
    Matcher block = Pattern.compile("## `(\\w+)`.*?(?=\\n## |\\z)", Pattern.DOTALL).matcher(page);
    int rows = 0;
    while (block.find()) {
      Matcher json =
          Pattern.compile("```json\\n(.*?)\\n```", Pattern.DOTALL).matcher(block.group());
      while (json.find()) {
        assertInstanceOf(
            Sample.class, RowFormat.named(block.group(1)).read(row(json.group(1), Map.of())));
        rows++;
      }
    }
    assertTrue(rows >= 6, "rows in the page: " + rows);
  }

  @Test
  @Tag("golden")
  void realDataSetsAreReadAndEncoded() throws IOException {
    int sets = 0;
    try (Tokenizer tokenizer = Tokenizer.load(Shared.path("models/smollm2-135m-instruct"))) {
      ChatTemplate template =
          ChatTemplate.load(Shared.path("models/smollm2-135m-instruct"), Map.of());
      ExampleEncoder encoder =
          new ExampleEncoder(tokenizer, template, EncodingSettings.withLength(16384));
      Map<String, String> question = Map.of("instruction", "question", "output", "answer");
      for (String[] each :
          new String[][] {
            {"alpaca_en_demo.json", "alpaca"},
            {"glaive_toolcall_en_demo.json", "sharegpt"},
            {"kto_en_demo.json", "messages"},
            {"gsm8k_test.jsonl", "alpaca"},
            {"wikitext2_test.txt", "text"}
          }) {
        Map<String, String> renames = each[0].startsWith("gsm8k") ? question : Map.of();
        try (RowFile rows = new RowFile(Shared.path("data/" + each[0]), renames)) {
          EncodedDataset set =
              EncodedDataset.encode(each[0], rows, RowFormat.named(each[1]), encoder);
          System.out.println(each[0] + ": " + set.summary().lines());
          assertEquals(set.summary().rows(), set.summary().examples());
          assertTrue(set.summary().lossTokens() > 0);
          sets++;
        }
      }
    }
    assertEquals(5, sets);
  }
}
