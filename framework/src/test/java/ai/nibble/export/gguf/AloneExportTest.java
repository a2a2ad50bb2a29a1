package ai.nibble.export.gguf;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.TinyChat;
import ai.nibble.data.ChatTemplate;
import ai.nibble.data.Tokenizer;
import ai.nibble.gguf.GgufFile;
import ai.nibble.model.CausalLm;
import ai.nibble.model.LoadOptions;
import ai.nibble.model.ModelConfig;
import ai.nibble.model.TinyModel;
import ai.nibble.model.WeightSource;
import ai.nibble.nn.Pass;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Tensor;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** A file that is written, and read with nothing beside it, is the model it was written from. */
class AloneExportTest {
  private static final int TOKENS = 40; // beyond all windows and stretched lengths below

  private static final List<String> TEXTS =
      List.of(
          "", " a  b\n\tc ", "naïve 日本語 🙂 e\u0301", "x<|im_end|>\n<|im_start|>y", "\u0000\ufeff");

  private static final String GEMMA =
      """
      {"version": "1.0", "truncation": null, "padding": null, "added_tokens": [
        {"id": 0, "content": "<unk>", "single_word": false, "lstrip": false, "rstrip": false,
         "normalized": false, "special": true},
        {"id": 1, "content": "<eos>", "single_word": false, "lstrip": false, "rstrip": false,
         "normalized": false, "special": true},
        {"id": 2, "content": "▁▁", "single_word": false, "lstrip": false, "rstrip": false,
         "normalized": false, "special": false},
        {"id": 3, "content": "▁▁▁", "single_word": false, "lstrip": false, "rstrip": false,
         "normalized": false, "special": false}],
       "normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
       "pre_tokenizer": {"type": "Split", "pattern": {"String": " "},
                         "behavior": "MergedWithPrevious", "invert": false},
       "post_processor": null,
       "decoder": {"type": "Sequence", "decoders": [
         {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
         {"type": "ByteFallback"}, {"type": "Fuse"}]},
       "model": {"type": "BPE", "dropout": null, "unk_token": "<unk>",
         "continuing_subword_prefix": null, "end_of_word_suffix": null, "fuse_unk": true,
         "byte_fallback": true, "ignore_merges": false,
         "vocab": {"<unk>": 0, "<eos>": 1, "▁▁": 2, "▁▁▁": 3, "<0x0A>": 4, "▁": 5, "a": 6, "b": 7,
                   "▁a": 8, "ab": 9},
         "merges": ["▁▁ ▁", "▁ ▁▁", "▁ ▁", "▁ a", "a b"]}}
      """;

  @TempDir Path temp;
  private long live;

  @BeforeEach
  void countTensors() {
    live = Tensor.live();
  }

  @AfterEach
  void everyTensorIsClosed() {
    assertEquals(live, Tensor.live());
  }

  private static Arguments model(String type, String... fields) {
    Map<String, String> map = new HashMap<>();
    for (int i = 0; i < fields.length; i += 2) {
      map.put(fields[i], fields[i + 1]);
    }
    return Arguments.of(type, map);
  }

  static Stream<Arguments> models() {
    String llama3 =
        "{\"rope_type\": \"llama3\", \"factor\": 8.0, \"low_freq_factor\": 1.0,"
            + " \"high_freq_factor\": 4.0, \"original_max_position_embeddings\": 64}";
    String yarn =
        "{\"rope_type\": \"yarn\", \"factor\": 4.0, \"original_max_position_embeddings\": 128}";
    String linear = "{\"rope_type\": \"linear\", \"factor\": 2.5}";
    return Stream.of(
        model("llama"),
        model("llama", "rope_scaling", llama3),
        model("llama", "rope_scaling", yarn),
        model("llama", "rope_scaling", linear, "tie_word_embeddings", "true"),
        model("mistral"),
        model("qwen2"),
        model("qwen2", "max_window_layers", "0", "rope_scaling", yarn),
        model("qwen3"),
        model(
            "qwen3", "use_sliding_window", "true", "sliding_window", "7", "max_window_layers", "1"),
        model("smollm3", "no_rope_layers", "[1, 1]"),
        model(
            "smollm3",
            "no_rope_layers",
            "[1, 1]",
            "use_sliding_window",
            "true",
            "sliding_window",
            "6",
            "layer_types",
            "[\"full_attention\", \"sliding_attention\"]"),
        model("gemma2", "tie_word_embeddings", "true"),
        model("gemma3_text", "sliding_window_pattern", "6"),
        model("gemma3_text", "sliding_window_pattern", "6", "rope_scaling", linear),
        model("phi3"),
        model("phi3", "rope_scaling", "null", "sliding_window", "5"),
        model("phi3", "rope_scaling", "null", "partial_rotary_factor", "0.5"),
        model("olmo2"),
        model("mixtral"),
        model("mixtral", "sliding_window", "9"),
        model("qwen3_moe"),
        model("qwen3_moe", "use_sliding_window", "true", "sliding_window", "5"));
  }

  /** A file in a directory of its own. */
  private Path alone(Path from) throws IOException {
    Path file = Files.createDirectories(temp.resolve("alone")).resolve("model.gguf");
    ModelExport.write(
        new ModelExport.Request(
            from, Optional.empty(), FileType.F32, file, Optional.empty(), Optional.of("gpt-2")),
        notice -> {});
    return file;
  }

  @ParameterizedTest
  @MethodSource("models")
  void itComputesWhatTheDirectoryComputes(String modelType, Map<String, String> fields)
      throws IOException {
    Path from = TinyChat.of(modelType, fields, temp.resolve("base"));
    Path file = alone(from);
    ModelConfig expected = ModelConfig.read(from.resolve("config.json"), notice -> {});
    ModelConfig seen =
        ModelConfig.read(WeightSource.directory(file).resolve("config.json"), notice -> {});
    assertEquals(expected.architecture(), seen.architecture());
    assertEquals(expected.form(), seen.form());
    if (!modelType.equals("phi3")) { // there a factor that follows is written, in float32
      assertEquals(expected.ropeScaling(), seen.ropeScaling());
    }
    assertEquals(expected.tieWordEmbeddings(), seen.tieWordEmbeddings());
    // norms that are distances from 1 are stored with it: 2 units in the last place of 1, some
    // dozens of which add up in two layers of values of some tens
    float tolerance = modelType.startsWith("gemma") ? 1e-4f : 0;
    assertArrayEquals(logits(from), logits(file), tolerance);
  }

  private static float[] logits(Path base) {
    int[] ids = new Random(7).ints(TOKENS, 0, 256).toArray();
    int[] positions = new int[TOKENS];
    Arrays.setAll(positions, i -> i);
    try (CausalLm model = CausalLm.load(base, new LoadOptions(Optional.empty(), DType.FLOAT32));
        Tensor logits = model.logits(ids, Pass.evaluating(0, TOKENS), positions)) {
      return logits.toFloats();
    }
  }

  @Test
  void itsTokensAndItsTemplateAreTheDirectorys() throws IOException {
    Path from = TinyChat.write(temp.resolve("base"));
    Path directory = WeightSource.directory(alone(from));
    List<Map<String, Object>> turns = List.of(Map.of("role", "user", "content", "Hi"));
    assertEquals(
        ChatTemplate.load(from, Map.of()).render(turns, List.of(), true),
        ChatTemplate.load(directory, Map.of()).render(turns, List.of(), true));
    try (Tokenizer expected = Tokenizer.load(from);
        Tokenizer seen = Tokenizer.load(directory)) {
      for (String text : TEXTS) {
        assertArrayEquals(expected.encode(text).ids(), seen.encode(text).ids(), text);
      }
      assertEquals(expected.eosId(), seen.eosId());
      assertEquals(expected.specialTokens().texts(), seen.specialTokens().texts());
    }
  }

  /** As Gemma 3's tokenizer.json, of a few tokens: runs of spaces are plain added tokens. */
  @Test
  void gemmasRunsOfSpacesAreReadBackAsTheyWere() throws IOException {
    Path from =
        TinyChat.of("gemma3_text", Map.of("sliding_window_pattern", "6"), temp.resolve("base"));
    Files.writeString(from.resolve("tokenizer.json"), GEMMA);
    Files.writeString(from.resolve("tokenizer_config.json"), "{\"eos_token\": \"<eos>\"}");
    Path file = alone(from);
    try (GgufFile gguf = GgufFile.open(file)) {
      List<String> tokens = gguf.metadata().getStrings("tokenizer.ggml.tokens");
      assertEquals(List.of("  ", "   ", "<0x0A>", "▁"), tokens.subList(2, 6));
    }
    try (Tokenizer expected = Tokenizer.load(from);
        Tokenizer seen = Tokenizer.load(WeightSource.directory(file))) {
      for (String text : List.of("a  ab", " ".repeat(10) + "a", "\n a▁▁b", "   ", "x y")) {
        assertArrayEquals(expected.encode(text).ids(), seen.encode(text).ids(), text);
      }
    }
  }

  @Test
  void everyArchitectureIsAmongThem() {
    assertEquals(
        Set.copyOf(TinyModel.MODEL_TYPES),
        models().map(model -> (String) model.get()[0]).collect(Collectors.toSet()));
    assertTrue(TinyModel.MODEL_TYPES.size() >= 11);
  }
}
