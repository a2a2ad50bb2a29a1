package ai.nibble.export.gguf;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.data.TokenizerContents;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import org.junit.jupiter.api.Test;

class SentencePieceTest {
  private static final String LLAMA_2 =
      "{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Prepend\",\"prepend\":\"▁\"},"
          + "{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":\"▁\"}]}";

  private static JsonNode json(String text) throws IOException {
    return new ObjectMapper().readTree(text);
  }

  private static Optional<SentencePiece> of(
      boolean byteFallback, String normalizer, String preTokenizer) throws IOException {
    Map<Integer, String> tokens =
        new TreeMap<>(
            Map.of(0, "<unk>", 1, "<s>", 2, "<0x0A>", 3, "▁", 4, "a", 5, "b", 6, "▁a", 7, "▁ab"));
    return SentencePiece.of(
        new TokenizerContents(
            "BPE",
            byteFallback,
            tokens,
            List.of(),
            List.of("▁ a", "▁a b", "▁ ab"),
            Optional.of("<unk>"),
            json(normalizer),
            json(preTokenizer)));
  }

  @Test
  void theFirstPairThatMakesATokenIsItsScore() throws IOException {
    SentencePiece pieces = of(true, LLAMA_2, "null").orElseThrow();
    assertArrayEquals(new float[] {0, 0, 0, 0, 0, 0, -1, -2, 0}, pieces.scores(9));
    int[] types = {3, 3, 1, 1, 1, 1, 1, 1};
    pieces.mark(types);
    assertArrayEquals(new int[] {2, 3, 6, 1, 1, 1, 1, 1}, types);
    assertTrue(pieces.addsSpace());
  }

  @Test
  void aSpaceInFrontIsAddedWhereTheTokenizerAddsOne() throws IOException {
    String replace = "{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":\"▁\"}";
    String metaspace =
        "{\"type\":\"Metaspace\",\"replacement\":\"▁\",\"prepend_scheme\":\"%s\",\"split\":false}";
    assertEquals(Optional.of(false), of(true, replace, "null").map(SentencePiece::addsSpace));
    assertEquals(
        Optional.of(true),
        of(true, "null", metaspace.formatted("first")).map(SentencePiece::addsSpace));
    assertEquals(
        Optional.of(false),
        of(true, "null", metaspace.formatted("never")).map(SentencePiece::addsSpace));
  }

  @Test
  void otherKindsAreNot() throws IOException {
    assertTrue(of(false, LLAMA_2, "null").isEmpty());
    assertTrue(of(true, "{\"type\":\"NFKC\"}", "null").isEmpty());
    assertTrue(of(true, "null", "null").isEmpty());
    assertTrue(of(true, LLAMA_2, "{\"type\":\"Whitespace\"}").isEmpty());
  }
}
