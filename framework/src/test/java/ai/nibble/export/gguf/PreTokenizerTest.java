package ai.nibble.export.gguf;

import static org.junit.jupiter.api.Assertions.assertEquals;

import ai.nibble.data.bpe.SplitPattern;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;

class PreTokenizerTest {
  private static final ObjectMapper JSON = new ObjectMapper();

  private static Optional<String> name(String json) throws IOException {
    return PreTokenizer.name(JSON.readTree(json));
  }

  private static String byteLevel(boolean regex) {
    return "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":" + regex + "}";
  }

  private static Optional<String> split(String regex) throws IOException {
    ObjectNode split = JSON.createObjectNode().put("type", "Split").put("behavior", "Isolated");
    split.putObject("pattern").put("Regex", regex);
    return name(
        "{\"type\":\"Sequence\",\"pretokenizers\":[" + split + "," + byteLevel(false) + "]}");
  }

  @Test
  void whatLlamaCppKnowsIsNamed() throws IOException {
    assertEquals(Optional.of("gpt-2"), name(byteLevel(true)));
    assertEquals(
        Optional.of("smollm"),
        name(
            "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Digits\",\"individual_digits\":"
                + "true},"
                + byteLevel(true)
                + "]}"));
    assertEquals(Optional.of("qwen2"), split(SplitPattern.QWEN2.regex()));
    assertEquals(
        Optional.of("llama-bpe"),
        split(
            "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|"
                + " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"));
  }

  @Test
  void everythingElseIsNot() throws IOException {
    assertEquals(Optional.empty(), split(SplitPattern.WORDS.regex()));
    assertEquals(Optional.empty(), name("null"));
    assertEquals(Optional.empty(), name(byteLevel(false)));
    assertEquals(Optional.empty(), name("{\"type\":\"Metaspace\"}"));
    assertEquals(Optional.empty(), name("{\"type\":\"ByteLevel\",\"add_prefix_space\":true}"));
    assertEquals(
        Optional.empty(),
        name(
            "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Digits\",\"individual_digits\":"
                + "false},"
                + byteLevel(true)
                + "]}"));
  }

  @Test
  void aNameThatLlamaCppIsNotKnownToHaveIsDoubted() {
    for (String name : List.of("gpt-2", "smollm", "llama-bpe", "qwen2")) {
      assertEquals(Optional.empty(), PreTokenizer.doubt(name));
    }
    assertEquals(
        "--pre 'gpt2' is not known here as a name of llama.cpp's, such as gpt-2 or llama-bpe: a"
            + " llama.cpp without it refuses the file",
        PreTokenizer.doubt("gpt2").orElseThrow());
  }
}
