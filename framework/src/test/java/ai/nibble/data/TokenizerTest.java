package ai.nibble.data;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.InvalidInputException;
import ai.nibble.Shared;
import ai.nibble.data.jinja.Rendering;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** Expected ids from transformers 5.23 on the same files. */
@Tag("golden")
class TokenizerTest {
  private static final ObjectMapper JSON = new ObjectMapper();

  private static JsonNode golden() throws IOException {
    try (InputStream in = TokenizerTest.class.getResourceAsStream("smollm2_tokens.json")) {
      return JSON.readTree(in);
    }
  }

  private static Tokenizer smollm2() {
    return Tokenizer.load(Shared.path("models/smollm2-135m-instruct"));
  }

  @Test
  void idsOffsetsAndTextAreHuggingFaces() throws IOException {
    try (Tokenizer tokenizer = smollm2()) {
      for (JsonNode each : golden().get("texts")) {
        String text = each.get("text").asText();
        Encoding encoding = tokenizer.encode(text);
        assertArrayEquals(JSON.convertValue(each.get("ids"), int[].class), encoding.ids(), text);
        int[][] offsets = JSON.convertValue(each.get("offsets"), int[][].class);
        assertArrayEquals(Stream.of(offsets).mapToInt(o -> o[0]).toArray(), encoding.starts());
        assertArrayEquals(Stream.of(offsets).mapToInt(o -> o[1]).toArray(), encoding.ends());
        assertEquals(each.get("decoded").asText(), tokenizer.decode(encoding.ids(), false));
        assertEquals(each.get("skipped").asText(), tokenizer.decode(encoding.ids(), true));
      }
    }
  }

  @Test
  void idsOfWholeDataSetsAreHuggingFaces() throws IOException {
    JsonNode digests = golden().get("digests");
    Path data = Shared.path("data");
    List<String> gsm8k =
        Files.readAllLines(data.resolve("gsm8k_test.jsonl")).stream()
            .map(line -> parse(line))
            .map(row -> row.get("question").asText() + "\n" + row.get("answer").asText())
            .toList();
    String wikitext = Files.readString(data.resolve("wikitext2_test.txt"));
    try (Tokenizer tokenizer = smollm2()) {
      check(digests.get("gsm8k"), gsm8k, tokenizer);
      check(digests.get("wikitext"), Arrays.asList(wikitext.split("\n", -1)), tokenizer);
      check(digests.get("alpaca"), alpacaAsChats(data), tokenizer);
    }
  }

  private static List<String> alpacaAsChats(Path data) throws IOException {
    ChatTemplate template =
        ChatTemplate.load(Shared.path("models/smollm2-135m-instruct"), Map.of());
    Stream.Builder<String> chats = Stream.builder();
    for (JsonNode row : JSON.readTree(data.resolve("alpaca_en_demo.json").toFile())) {
      String input = row.get("input").asText();
      String question = row.get("instruction").asText() + (input.isEmpty() ? "" : "\n" + input);
      chats.add(
          template.render(
              List.of(
                  Map.of("role", "user", "content", question),
                  Map.of("role", "assistant", "content", row.get("output").asText())),
              List.of(),
              false));
    }
    return chats.build().toList();
  }

  private static void check(JsonNode expected, List<String> texts, Tokenizer tokenizer) {
    MessageDigest digest;
    try {
      digest = MessageDigest.getInstance("SHA-256");
    } catch (NoSuchAlgorithmException e) {
      throw new AssertionError(e);
    }
    int tokens = 0;
    for (String text : texts) {
      int[] ids = tokenizer.encode(text).ids();
      ByteBuffer bytes = ByteBuffer.allocate(4 * ids.length).order(ByteOrder.LITTLE_ENDIAN);
      bytes.asIntBuffer().put(ids);
      digest.update(bytes.array());
      tokens += ids.length;
    }
    assertEquals(expected.get("tokens").asInt(), tokens);
    assertEquals(expected.get("sha256").asText(), HexFormat.of().formatHex(digest.digest()));
  }

  private static JsonNode parse(String line) {
    try {
      return JSON.readTree(line.getBytes(StandardCharsets.UTF_8));
    } catch (IOException e) {
      throw new AssertionError(e);
    }
  }

  @Test
  void privateNamesOfControlTokensChangeNoOtherId() throws IOException {
    ChatTemplate template =
        ChatTemplate.load(Shared.path("models/smollm2-135m-instruct"), Map.of());
    int chats = 0;
    try (Tokenizer tokenizer = smollm2()) {
      for (JsonNode text : golden().get("texts")) {
        Rendering rendering =
            template.trace(
                List.of(
                    Map.of("role", "user", "content", text.get("text").asText().replace("<|", "<")),
                    Map.of("role", "assistant", "content", "é😀 yes\n")),
                List.of(),
                false);
        Encoding plain = tokenizer.encode(rendering.text());
        if (rendering.text().contains("\udbff\udffd")) {
          continue; // the character that private names are made of
        }
        Encoding masked = tokenizer.encodeMasked(rendering);
        assertArrayEquals(plain.ids(), masked.ids());
        assertArrayEquals(plain.starts(), masked.starts());
        assertArrayEquals(plain.ends(), masked.ends());
        chats++;
      }
    }
    assertTrue(chats >= 15);
  }

  @Test
  void longTextIsNotCut() {
    try (Tokenizer tokenizer = smollm2()) {
      assertEquals(2000, tokenizer.encode("hello ".repeat(2000).strip()).length());
      assertTrue(tokenizer.encode(" ".repeat(1_000_000)).length() > 0);
    }
  }

  @Test
  void halfASurrogatePairIsRefused() {
    try (Tokenizer tokenizer = smollm2()) {
      for (String text : List.of("a\ud800", "\udc00b", "\udc00\ud800", "\ud83dx")) {
        assertThrows(InvalidInputException.class, () -> tokenizer.encode(text));
      }
    }
  }

  @Test
  void specialTokensComeFromTheConfiguration() {
    try (Tokenizer tokenizer = smollm2()) {
      assertEquals(1, tokenizer.bosId().getAsInt());
      assertEquals(2, tokenizer.eosId().getAsInt());
      assertEquals(2, tokenizer.padId().getAsInt());
      assertEquals(0, tokenizer.unkId().getAsInt());
      assertEquals(49152, tokenizer.vocabSize());
      assertEquals(2, tokenizer.tokenToId("<|im_end|>").getAsInt());
      assertTrue(tokenizer.tokenToId("no such token").isEmpty());
      assertEquals(0, tokenizer.textPrefix().length);
    }
  }
}
