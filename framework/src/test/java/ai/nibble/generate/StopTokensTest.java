package ai.nibble.generate;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.TinyChat;
import ai.nibble.data.ChatTemplate;
import ai.nibble.data.PromptEncoder;
import ai.nibble.data.SmallTokenizer;
import ai.nibble.data.Tokenizer;
import ai.nibble.model.ModelConfig;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class StopTokensTest {
  @TempDir Path folder;

  private Set<Integer> stops(boolean templated) throws IOException {
    ModelConfig config = ModelConfig.read(folder.resolve("config.json"), notice -> {});
    try (Tokenizer tokenizer = Tokenizer.load(folder)) {
      ChatTemplate template = templated ? ChatTemplate.load(folder, Map.of()) : null;
      return StopTokens.of(folder, config, tokenizer, new PromptEncoder(tokenizer, template));
    }
  }

  private List<String> notices(boolean templated) throws IOException {
    ModelConfig config = ModelConfig.read(folder.resolve("config.json"), notice -> {});
    try (Tokenizer tokenizer = Tokenizer.load(folder)) {
      ChatTemplate template = templated ? ChatTemplate.load(folder, Map.of()) : null;
      PromptEncoder prompts = new PromptEncoder(tokenizer, template);
      return StopTokens.notices(folder, config, tokenizer, prompts);
    }
  }

  private void configure(String eos) throws IOException {
    Path config = folder.resolve("config.json");
    ObjectMapper json = new ObjectMapper();
    ObjectNode fields = (ObjectNode) json.readTree(config.toFile());
    fields.set("eos_token_id", json.readTree(eos));
    json.writeValue(config.toFile(), fields);
  }

  @Test
  void whereTheFilesAgreeNothingIsSaid() throws IOException {
    TinyChat.write(folder);
    configure("" + SmallTokenizer.END);
    assertEquals(List.of(), notices(true));
    assertEquals(List.of(), notices(false));
    configure("null");
    assertEquals(List.of(), notices(true));
  }

  @Test
  void whereTheyDoNotAgreeAllCountAndEachIsNamed() throws IOException {
    TinyChat.write(folder);
    configure("66");
    Files.writeString(folder.resolve("generation_config.json"), "{\"eos_token_id\": [65, 258]}");
    assertEquals(
        List.of(
            "answers end at any of A (generation_config.json), <|im_end|> (generation_config.json,"
                + " the tokenizer's eos_token, the chat template)",
            "config.json names as eos_token_id [B], not followed: generation_config.json counts"),
        notices(true));
    Files.delete(folder.resolve("generation_config.json"));
    assertEquals(
        List.of(
            "answers end at any of B (config.json or its default), <|im_end|> (the tokenizer's eos_token)"),
        notices(false));
  }

  @Test
  void whereNothingEndsAnAnswerThatIsSaid() throws IOException {
    TinyChat.write(folder);
    configure("null");
    Files.writeString(folder.resolve("tokenizer_config.json"), "{}");
    Files.writeString(
        folder.resolve("chat_template.jinja"),
        "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}");
    assertEquals(Set.of(), stops(true));
    List<String> notices = notices(true);
    assertEquals(1, notices.size());
    assertTrue(notices.get(0).startsWith("no token ends an answer: "), notices::toString);
    assertTrue(notices.get(0).contains("--max-new-tokens"), notices::toString);
  }

  @Test
  void theModelsTheTokenizersAndTheTemplatesEndsCount() throws IOException {
    TinyChat.write(folder);
    Files.writeString(folder.resolve("generation_config.json"), "{\"eos_token_id\": [5, 9]}");
    // the tokenizer's end of sequence is now one that the template does not write
    Path tokenizer = folder.resolve("tokenizer_config.json");
    Files.writeString(tokenizer, "{\"eos_token\": \"<s>\"}");
    assertEquals(Set.of(5, 9, 256, SmallTokenizer.END), stops(true));
    assertEquals(Set.of(5, 9, 256), stops(false));
  }
}
