package ai.nibble.model;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.InvalidInputException;
import ai.nibble.Shared;
import ai.nibble.tensor.DType;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.zip.CRC32;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

final class GgufWeightsTest extends WeightSourceContract {
  private final Map<String, Object> changed = new LinkedHashMap<>();

  @Override
  Path write(TinyModel model) {
    model.writeConfig(folder);
    Map<String, Object> metadata = model.ggufMetadata();
    metadata.putAll(changed);
    metadata.values().removeIf("absent"::equals);
    Path file = folder.resolve("tiny.gguf");
    model.writeGguf(file, metadata);
    return file;
  }

  /**
   * The file holds the CRC-32 of the float32 bytes of every tensor that transformers 5.23 and gguf
   * give with {@code AutoModelForCausalLM.from_pretrained(dir, gguf_file=…, dtype=float32)}.
   */
  @Test
  @Tag("golden")
  void aRealFileHoldsWhatTransformersReadsFromIt() throws IOException {
    Path base = Shared.path("models/smollm2-135m-instruct/SmolLM2-135M-Instruct.Q4_1.gguf");
    Map<String, String> expected = new LinkedHashMap<>();
    for (String line : golden()) {
      expected.put(line.split(" ")[0], line.split(" ")[1]);
    }
    try (WeightSource weights = WeightSource.open(base, notices::add)) {
      assertEquals(expected.keySet(), weights.names());
      for (String name : weights.names()) {
        assertEquals(expected.get(name), crc(all(weights, name)), name);
      }
      System.out.println("GGUF: " + weights.names().size() + " tensors equal bit for bit");
    }
    assertEquals(List.of(), notices);
  }

  @Test
  void aDirectoryWithOneGgufFileNeedsNoFileName() throws IOException {
    Path file = write(new TinyModel(1, false));
    WeightSource.open(folder, notices::add).close();
    Files.copy(file, folder.resolve("other.GGUF"));
    InvalidInputException e =
        assertThrows(InvalidInputException.class, () -> WeightSource.open(folder));
    assertTrue(e.getMessage().contains("holds 2 GGUF files, expected one"), e.getMessage());
  }

  @Test
  void aFileWithoutConfigurationOrTokenizerSaysWhatIsMissing() throws IOException {
    Path file = write(new TinyModel(1, false));
    Files.delete(folder.resolve("config.json"));
    InvalidInputException e =
        assertThrows(InvalidInputException.class, () -> WeightSource.open(file));
    assertEquals(
        file
            + ": has no tokenizer in itself (no metadata 'tokenizer.ggml.model') and no config.json"
            + " beside it: put the original model's config.json and tokenizer.json there",
        e.getMessage());
  }

  @ParameterizedTest
  @CsvSource({
    "llama.block_count, 3, 2",
    "llama.embedding_length, 16, 12",
    "llama.feed_forward_length, 21, 20",
    "llama.attention.head_count, 6, 3",
    "llama.attention.head_count_kv, 3, 1",
    "llama.attention.key_length, 4, 8",
    "llama.rope.dimension_count, 4, 8",
    "llama.vocab_size, 12, 11"
  })
  void metadataThatContradictsTheConfigurationIsRefused(String key, int seen, int expected) {
    changed.put(key, seen);
    assertEquals(
        List.of(
            ": '%s' is '%d', expected %d by config.json; use the config.json that belongs to this"
                    .formatted(key, seen, expected)
                + " file"),
        problems(new TinyModel(1, false)));
  }

  /** As files of before April 2024 have them. */
  @Test
  void expertsWithATensorEachAreReadAsThoseInOne() {
    TinyModel model = TinyModel.of("mixtral", 5);
    model.fields.put("max_position_embeddings", "2048");
    model.fields.put("rms_norm_eps", "1e-6");
    model.fields.put("rope_theta", "10000.0");
    changed.put("llama.expert_count", 4);
    changed.put("llama.expert_used_count", 2);
    Map<String, Object> metadata = model.ggufMetadata();
    metadata.putAll(changed);
    ModelConfig config = model.config(folder);
    Map<String, String> linears = Map.of("w1", "ffn_gate", "w3", "ffn_up", "w2", "ffn_down");
    Pattern expert =
        Pattern.compile(
            "model\\.layers\\.(\\d)\\.block_sparse_moe\\.experts\\.(\\d)\\.(w\\d)\\.weight");
    Path file = folder.resolve("each.gguf");
    model.writeGguf(
        file,
        metadata,
        name -> {
          Matcher m = expert.matcher(name);
          return m.matches()
              ? "blk.%s.%s.%s.weight".formatted(m.group(1), linears.get(m.group(3)), m.group(2))
              : GgufLayout.ggufName(config, name).orElseThrow();
        });
    try (WeightSource weights = WeightSource.open(file, notices::add)) {
      assertEquals(model.values.keySet(), weights.names());
      model.values.forEach((name, values) -> assertArrayEquals(values, all(weights, name), name));
    }
    assertEquals(List.of(), notices);
  }

  @Test
  void otherConstantsAreRefusedAndABaseFrequencyLeftOutIsTheDefault() {
    changed.put("llama.attention.layer_norm_rms_epsilon", 1e-5f);
    changed.put("llama.rope.freq_base", 5e5f);
    changed.put("llama.rope.scaling.type", "linear");
    assertEquals(3, problems(new TinyModel(1, false)).size());
    changed.clear();
    changed.put("llama.rope.freq_base", "absent");
    TinyModel model = new TinyModel(1, false);
    open(model).close();
    model.fields.put("rope_theta", "500000.0");
    assertTrue(problems(model).get(0).contains("'llama.rope.freq_base' is '10000.0'"));
  }

  @Test
  void anotherArchitectureAndAnotherContextLengthAreTold() {
    changed.put("llama.context_length", 77);
    open(new TinyModel(1, false)).close();
    assertTrue(notices.get(0).contains("'llama.context_length' is 77"), notices.toString());
    changed.put("general.architecture", "qwen2");
    assertTrue(problems(new TinyModel(1, false)).get(0).contains("'qwen2', expected 'llama'"));
  }

  /** The divisors are formats.md's formula for factor 8, low 1, high 4, original length 64. */
  @Test
  void ropeFrequenciesAreHeldAgainstTheConfiguration() {
    TinyModel model = new TinyModel(1, false);
    model.fields.put(
        "rope_scaling",
        "{\"rope_type\": \"llama3\", \"factor\": 8, \"low_freq_factor\": 1,"
            + " \"high_freq_factor\": 4, \"original_max_position_embeddings\": 64}");
    open(model).close();
    assertTrue(notices.get(0).contains("has no tensor 'rope_freqs.weight'"), notices.toString());
    notices.clear();
    model.add("rope_freqs.weight", 4);
    float[] divisors = model.values.get("rope_freqs.weight");
    for (int j = 0; j < 4; j++) {
      double wavelength = 2 * Math.PI * Math.pow(10_000, j / 4.0);
      double smooth = (64 / wavelength - 1) / 3;
      divisors[j] =
          (float) (wavelength < 16 ? 1 : wavelength > 64 ? 8 : 1 / ((1 - smooth) / 8 + smooth));
    }
    open(model).close();
    assertEquals(List.of(), notices);
    divisors[3] = 4;
    assertTrue(problems(model).get(0).contains("'rope_freqs.weight' holds 4.0 at 3, expected 8.0"));
  }

  @Test
  void aTypeThatIsNotReadIsNamed() throws IOException {
    Path file = write(new TinyModel(1, false));
    byte[] bytes = Files.readAllBytes(file);
    // The type is the u32 before the 8 bytes of offset 0, which follow the first tensor's sizes.
    String text = new String(bytes, StandardCharsets.ISO_8859_1);
    int type = text.indexOf("token_embd.weight") + "token_embd.weight".length() + 4 + 16;
    bytes[type] = 26; // I32, as wide as F32
    Files.write(file, bytes);
    InvalidInputException e =
        assertThrows(InvalidInputException.class, () -> WeightSource.open(file, notices::add));
    assertTrue(e.getMessage().contains("'token_embd.weight' is stored as I32"), e.getMessage());
  }

  @Test
  void blockTypesAreReadAsFloat32() {
    Path base = Shared.path("models/smollm2-135m-instruct/SmolLM2-135M-Instruct.Q4_1.gguf");
    try (WeightSource weights = WeightSource.open(base, notices::add)) {
      assertEquals(DType.FLOAT32, weights.dtype("model.layers.0.mlp.up_proj.weight"));
    }
  }

  private static String crc(float[] values) {
    ByteBuffer bytes = ByteBuffer.allocate(4 * values.length).order(ByteOrder.LITTLE_ENDIAN);
    bytes.asFloatBuffer().put(values);
    CRC32 crc = new CRC32();
    crc.update(bytes.array());
    return "%08x".formatted(crc.getValue());
  }

  private static List<String> golden() throws IOException {
    try (BufferedReader reader =
        new BufferedReader(
            new InputStreamReader(
                GgufWeightsTest.class.getResourceAsStream("smollm2_gguf_crc32.txt"),
                StandardCharsets.UTF_8))) {
      return reader.lines().toList();
    }
  }
}
