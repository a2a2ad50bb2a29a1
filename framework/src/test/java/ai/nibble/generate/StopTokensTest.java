package ai.nibble.generate;

import static org.junit.jupiter.api.Assertions.assertEquals;

import ai.nibble.TinyChat;
import ai.nibble.data.ChatTemplate;
import ai.nibble.data.PromptEncoder;
import ai.nibble.data.SmallTokenizer;
import ai.nibble.data.Tokenizer;
import ai.nibble.model.ModelConfig;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
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
