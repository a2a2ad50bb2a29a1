package ai.nibble.gguf.vocabulary;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.InvalidInputException;
import ai.nibble.data.Tokenizer;
import ai.nibble.gguf.GgufFile;
import ai.nibble.gguf.GgufHeader;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

class TokenizerJsonTest {
  private static final ObjectMapper JSON = new ObjectMapper();

  @TempDir private Path directory;

  private final List<GgufFile> open = new ArrayList<>();

  @AfterEach
  void close() {
    open.forEach(GgufFile::close);
  }

  private static JsonNode golden(String resource) throws IOException {
    try (InputStream in = TokenizerJsonTest.class.getResourceAsStream(resource)) {
      return JSON.readTree(in);
    }
  }

  private TokenizerJson read(GgufHeader header) {
    Path path = VocabularyFile.write(directory.resolve(open.size() + ".gguf"), header);
    GgufFile file = GgufFile.open(path);
    open.add(file);
    return TokenizerJson.read(file.metadata(), file.metadata().getString("general.architecture"));
  }

  private Tokenizer load(TokenizerJson json) throws IOException {
    Files.writeString(directory.resolve("tokenizer.json"), json.tokenizer().toString());
    Files.writeString(directory.resolve("tokenizer_config.json"), json.config(64).toString());
    return Tokenizer.load(directory);
  }

  private void refused(GgufHeader header, String... inMessage) {
    String message =
        assertThrows(InvalidInputException.class, () -> read(header).tokenizer()).getMessage();
    for (String part : inMessage) {
      assertTrue(message.contains(part), message);
    }
    assertFalse(message.contains("\n"), message);
  }

  /** Pieces and ids by the package sentencepiece itself. */
  @ParameterizedTest
  @CsvSource({"llama, sentencepiece.json", "gemma2, gemma.json", "gemma3, gemma.json"})
  void piecesWithScoresGiveTheIdsOfSentencePiece(String architecture, String resource)
      throws IOException {
    JsonNode golden = golden(resource);
    try (Tokenizer tokenizer = load(read(pieces(golden, architecture)))) {
      for (JsonNode each : golden.get("texts")) {
        String text = each.get("text").asText();
        int[] expected = JSON.convertValue(each.get("ids"), int[].class);
        assertArrayEquals(expected, tokenizer.encode(text).ids(), "'" + text + "'");
        assertEquals(text.replace('▁', ' '), tokenizer.decode(expected, false), "decoded");
      }
      assertEquals(12, golden.get("texts").size());
    }
  }

  private static GgufHeader pieces(JsonNode golden, String architecture) {
    List<String> texts = new ArrayList<>();
    JsonNode pieces = golden.get("pieces");
    float[] scores = new float[pieces.size()];
    int[] types = new int[pieces.size()];
    GgufHeader header =
        new GgufHeader()
            .put("general.architecture", architecture)
            .put("tokenizer.ggml.model", "llama")
            .put("tokenizer.ggml.pre", "default");
    for (int i = 0; i < pieces.size(); i++) {
      texts.add(pieces.get(i).get(0).asText());
      scores[i] = (float) pieces.get(i).get(1).asDouble();
      types[i] = pieces.get(i).get(2).asInt();
      if (types[i] == Vocabulary.UNKNOWN) {
        header.put("tokenizer.ggml.unknown_token_id", i);
      }
    }
    return header
        .putStrings("tokenizer.ggml.tokens", texts)
        .putFloats("tokenizer.ggml.scores", scores)
        .putInts("tokenizer.ggml.token_type", types);
  }

  /** As its own file does; Gemma 2's joins pairs first, which of 100 makes other tokens. */
  @Test
  void runsOfSpacesAreJoinedLongestFirstByGemma3() throws IOException {
    JsonNode golden = golden("gemma.json");
    GgufHeader header = pieces(golden, "gemma3");
    int longest = 0;
    int seven = 0;
    for (int id = 0; id < golden.get("pieces").size(); id++) {
      String piece = golden.get("pieces").get(id).get(0).asText();
      longest = piece.equals(" ".repeat(31)) ? id : longest;
      seven = piece.equals(" ".repeat(7)) ? id : seven;
    }
    try (Tokenizer tokenizer = load(read(header))) {
      assertArrayEquals(
          new int[] {longest, longest, longest, seven}, tokenizer.encode(" ".repeat(100)).ids());
    }
  }

  private static GgufHeader few(String architecture, int[] types, float[] scores, String... texts) {
    return new GgufHeader()
        .put("general.architecture", architecture)
        .put("tokenizer.ggml.model", "llama")
        .put("tokenizer.ggml.add_space_prefix", false)
        .put("tokenizer.ggml.unknown_token_id", 0)
        .putStrings("tokenizer.ggml.tokens", List.of(texts))
        .putFloats("tokenizer.ggml.scores", scores)
        .putInts("tokenizer.ggml.token_type", types);
  }

  /** As SentencePiece, which joins characters whether or not they are tokens. */
  @Test
  void aTabThatHasNoTokenButItsByteIsJoined() throws IOException {
    GgufHeader header =
        few(
            "llama",
            new int[] {2, 6, 6, 1, 1},
            new float[] {0, 0, 0, -1, -2},
            "<unk>",
            "<0x09>",
            "<0x0A>",
            "\t\t",
            "a");
    try (Tokenizer tokenizer = load(read(header))) {
      assertArrayEquals(new int[] {3, 1, 4, 2}, tokenizer.encode("\t\t\ta\n").ids());
      assertEquals("\t\t\ta\n", tokenizer.decode(new int[] {3, 1, 4, 2}, false));
    }
  }

  /** Its files do not say so; llama.cpp goes by the name. */
  @ParameterizedTest
  @CsvSource({"phi3, tuned, true", "llama, Phi-3 mini, true", "llama, tuned, false"})
  void spaceBehindSpecialTokensOfPhi3IsTakenByThem(String architecture, String name, boolean taken)
      throws IOException {
    GgufHeader header =
        few(
                architecture,
                new int[] {2, 3, 3, 1, 1},
                new float[] {0, 0, 0, -1, -2},
                "<unk>",
                "<s>",
                "<|end|>",
                "▁",
                "a")
            .put("general.name", name);
    try (Tokenizer tokenizer = load(read(header))) {
      assertArrayEquals(
          taken ? new int[] {2, 4} : new int[] {2, 3, 3, 4}, tokenizer.encode("<|end|>  a").ids());
      assertArrayEquals(new int[] {1, 3, 3, 4}, tokenizer.encode("<s>  a").ids());
    }
  }

  /** As transformers builds them, and SmolLM's own file has them. */
  @Test
  void textIsPartedAsTheOriginalsSay() throws IOException {
    List<String> seen = new ArrayList<>();
    golden("pre_tokenizers.json")
        .properties()
        .forEach(
            entry ->
                PreTokenizerKind.named(entry.getKey())
                    .ifPresent(
                        kind -> {
                          assertEquals(entry.getValue(), kind.json(), entry.getKey());
                          seen.add(entry.getKey());
                        }));
    assertTrue(
        seen.containsAll(
            List.of("llama-bpe", "tekken", "qwen2", "qwen35", "gpt-4o", "gpt-2", "smollm")),
        seen.toString());
  }

  @ParameterizedTest
  @EnumSource
  void everyKindIsLoadedAndFoundAgain(PreTokenizerKind kind) throws IOException {
    PreTokenizerKind found = PreTokenizerKind.of(kind.json()).orElseThrow();
    assertEquals(kind.json(), found.json());
    try (Tokenizer tokenizer = load(read(VocabularyFile.byteLevel(kind.ggufName())))) {
      assertArrayEquals(new int[] {3, 0, 1}, tokenizer.encode("ab<|end|>a").ids());
      assertArrayEquals(new int[] {5, 2}, tokenizer.encode("<tool>b").ids());
      assertTrue(tokenizer.isControl(0));
      assertFalse(tokenizer.isControl(5));
      assertTrue(tokenizer.tokenToId("[PAD4]").isEmpty());
    }
  }

  @Test
  void aWayToPartTextThatIsNotKnownIsNamed() {
    refused(
        VocabularyFile.byteLevel("sophia"),
        "metadata 'tokenizer.ggml.pre': is 'sophia'",
        "llama-bpe",
        "put the original model's config.json and tokenizer.json beside the file");
  }

  @Test
  void aKindOfTokenizerThatIsNotSupportedIsNamed() {
    refused(
        VocabularyFile.byteLevel("gpt-2").put("tokenizer.ggml.model", "rwkv"),
        "metadata 'tokenizer.ggml.model': is 'rwkv', expected gpt2",
        "llama (SentencePiece)");
    refused(
        new GgufHeader().put("general.architecture", "llama"),
        "no metadata 'tokenizer.ggml.model'");
  }

  @Test
  void whatDoesNotFitIsNamed() {
    refused(
        VocabularyFile.byteLevel("gpt-2")
            .putStrings("tokenizer.ggml.merges", List.of("a b", "a c")),
        "metadata 'tokenizer.ggml.merges': merge 1 does not join two tokens to a third");
    refused(
        VocabularyFile.byteLevel("gpt-2")
            .putStrings("tokenizer.ggml.tokens", List.of("e", "a", "b", "ab", "a", "t")),
        "metadata 'tokenizer.ggml.tokens': tokens 1 and 4 are the same text");
    refused(
        new GgufHeader()
            .put("general.architecture", "llama")
            .put("tokenizer.ggml.model", "llama")
            .putStrings("tokenizer.ggml.tokens", List.of("a", "b"))
            .putInts("tokenizer.ggml.token_type", new int[] {2, 1}),
        "no metadata 'tokenizer.ggml.scores'");
    GgufHeader eos = VocabularyFile.byteLevel("gpt-2").put("tokenizer.ggml.eos_token_id", 6);
    String message =
        assertThrows(InvalidInputException.class, () -> read(eos).config(64)).getMessage();
    assertTrue(
        message.contains("metadata 'tokenizer.ggml.eos_token_id': is 6, expected 0 to 5"), message);
  }

  @Test
  void scoresThatAreNoNumbersAreRefused() {
    refused(
        few("llama", new int[] {2, 1}, new float[] {0, Float.NaN}, "<unk>", "a"),
        "metadata 'tokenizer.ggml.scores': is NaN for token 1, expected a number");
  }

  /** The library would leave them out without a word. */
  @Test
  void aVocabularyThatWouldLoseCharactersIsRefused() throws IOException {
    GgufHeader lost =
        new GgufHeader()
            .put("general.architecture", "llama")
            .put("tokenizer.ggml.model", "llama")
            .putStrings("tokenizer.ggml.tokens", List.of("a", "b"))
            .putFloats("tokenizer.ggml.scores", new float[] {0, -1});
    refused(lost, "metadata 'tokenizer.ggml.tokens': no token is for bytes or for what is unknown");
    lost.putInts("tokenizer.ggml.token_type", new int[] {2, 1})
        .put("tokenizer.ggml.add_space_prefix", false);
    try (Tokenizer tokenizer = load(read(lost))) {
      assertArrayEquals(new int[] {1, 0, 1}, tokenizer.encode("bxb").ids());
    }
  }

  @Test
  void theBeginningOfSequenceIsAddedAsLlamaCppAddsIt() throws IOException {
    GgufHeader header = VocabularyFile.byteLevel("gpt-2").put("tokenizer.ggml.bos_token_id", 0);
    try (Tokenizer silent = load(read(header))) {
      assertArrayEquals(new int[0], silent.textPrefix());
    }
    header.put("tokenizer.ggml.add_bos_token", true);
    ObjectNode json = read(header).tokenizer();
    assertEquals(
        "[{\"SpecialToken\":{\"id\":\"<|end|>\",\"type_id\":0}},{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}]",
        json.at("/post_processor/single").toString());
    try (Tokenizer told = load(read(header))) {
      assertArrayEquals(new int[] {0}, told.textPrefix());
    }
    header.put("tokenizer.ggml.pre", "llama-bpe").put("tokenizer.ggml.add_bos_token", false);
    try (Tokenizer told = load(read(header))) {
      assertArrayEquals(new int[0], told.textPrefix());
    }
  }

  @Test
  void templatesAreTakenOver() {
    GgufHeader header =
        VocabularyFile.byteLevel("gpt-2")
            .put("tokenizer.chat_template", "{{ messages }}")
            .put("tokenizer.chat_template.tool_use", "{{ tools }}");
    assertEquals("{{ messages }}", read(header).chatTemplate().orElseThrow());
    assertEquals("{{ tools }}", read(header).toolTemplate().orElseThrow());
    assertTrue(read(VocabularyFile.byteLevel("gpt-2")).chatTemplate().isEmpty());
  }
}
