package ai.nibble.export.gguf;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.InvalidInputException;
import ai.nibble.Shared;
import ai.nibble.TinyChat;
import ai.nibble.data.SmallTokenizer;
import ai.nibble.gguf.GgmlType;
import ai.nibble.gguf.GgufFile;
import ai.nibble.gguf.GgufMetadata;
import ai.nibble.gguf.GgufTensor;
import ai.nibble.lora.AdapterStore;
import ai.nibble.lora.LoraAdapter;
import ai.nibble.lora.LoraConfig;
import ai.nibble.lora.TargetModules;
import ai.nibble.model.CausalLm;
import ai.nibble.model.LoadOptions;
import ai.nibble.model.TinyModel;
import ai.nibble.model.WeightSource;
import ai.nibble.nn.Parameter;
import ai.nibble.nn.Pass;
import ai.nibble.safetensors.SafetensorsFile;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Tensor;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

class ModelExportTest {
  private static final String SMOLLM2 = "models/smollm2-135m-instruct/";

  @TempDir Path temp;
  private final List<String> notices = new ArrayList<>();
  private Path base;
  private Path out;
  private long live;

  @BeforeEach
  void writeABase() throws IOException {
    live = Tensor.live();
    base = TinyChat.write(temp.resolve("base"));
    out = temp.resolve("tiny.gguf");
  }

  @AfterEach
  void everyTensorIsClosed() {
    assertEquals(live, Tensor.live());
  }

  private ModelExport.Report export(Path from, Optional<Path> adapter, FileType type) {
    return ModelExport.write(
        new ModelExport.Request(from, adapter, type, out, Optional.empty(), Optional.of("gpt-2")),
        notices::add);
  }

  /** Puts a file where it is a base: with the configuration beside it. */
  private Path asBase(Path gguf, Path configuration) throws IOException {
    Path folder = Files.createDirectory(temp.resolve("read-" + System.nanoTime()));
    Files.copy(configuration.resolve("config.json"), folder.resolve("config.json"));
    return Files.copy(gguf, folder.resolve("model.gguf"));
  }

  private static float[] all(WeightSource weights, String name) {
    long elements = Arrays.stream(weights.shape(name)).reduce(1, (a, b) -> a * b);
    float[] values = new float[Math.toIntExact(elements)];
    weights.read(name, 0, values, 0, values.length);
    return values;
  }

  /** 12 and 20 columns are no whole number of blocks, so every block type falls back to F16. */
  @ParameterizedTest
  @EnumSource
  void theLoaderReadsBackWhatItGave(FileType type) throws IOException {
    ModelExport.Report report = export(base, Optional.empty(), type);
    int tensors = report.tensors().values().stream().mapToInt(Integer::intValue).sum();
    boolean block = type.base().blockElements() > 1;
    long lines = notices.stream().filter(line -> line.contains("written as {F16=")).count();
    assertEquals(block ? 1 : 0, lines, notices.toString());
    double bound = type == FileType.F32 ? 0 : type == FileType.BF16 ? 0x1p-8 : 0x1p-11;
    List<String> ignored = new ArrayList<>();
    try (WeightSource from = WeightSource.open(base, ignored::add);
        WeightSource to = WeightSource.open(asBase(out, base), ignored::add)) {
      assertEquals(from.names(), to.names());
      assertEquals(from.names().size(), tensors);
      for (String name : from.names()) {
        float[] expected = all(from, name);
        float[] seen = all(to, name);
        for (int i = 0; i < expected.length; i++) {
          // half a unit in the last of 8 or 11 bits, or of float16's least number
          assertEquals(
              expected[i], seen[i], Math.abs(expected[i]) * bound + Math.min(bound, 0x1p-25), name);
        }
      }
    }
  }

  @ParameterizedTest
  @CsvSource({
    "mistral, llama",
    "qwen2, qwen2",
    "qwen3, qwen3",
    "smollm3, smollm3",
    "gemma2, gemma2",
    "gemma3_text, gemma3",
    "phi3, phi3",
    "olmo2, olmo2",
    "mixtral, llama",
    "qwen3_moe, qwen3moe"
  })
  void everyArchitectureIsReadBackAsItWas(String modelType, String llamaCppName)
      throws IOException {
    Map<String, String> fields =
        switch (modelType) {
          case "smollm3" -> Map.of("no_rope_layers", "[1, 1]");
          case "gemma2" -> Map.of("tie_word_embeddings", "true");
          case "gemma3_text" -> Map.of("sliding_window_pattern", "6");
          default -> Map.of();
        };
    Path from = TinyChat.of(modelType, fields, temp.resolve(modelType));
    export(from, Optional.empty(), FileType.F32);
    assertEquals(
        modelType.equals("mistral") || modelType.equals("qwen2") ? 1 : 0,
        notices.stream().filter(line -> line.contains("has no sliding window: beyond")).count(),
        notices.toString());
    try (WeightSource expected = WeightSource.open(from, line -> {});
        WeightSource seen = WeightSource.open(asBase(out, from), line -> {});
        GgufFile file = GgufFile.open(out)) {
      assertEquals(llamaCppName, file.metadata().getString("general.architecture"));
      assertEquals(2, file.metadata().getLong(llamaCppName + ".block_count"));
      assertEquals(modelType.equals("qwen2"), file.names().contains("blk.1.attn_k.bias"));
      assertEquals(
          Set.of("qwen3", "qwen3_moe", "gemma3_text", "olmo2").contains(modelType),
          file.names().contains("blk.1.attn_k_norm.weight"));
      assertEquals(expected.names(), seen.names());
      for (String name : expected.names()) {
        // a norm that is a distance from 1 is stored with it: a rounding of 2 ulp of 1 to and fro
        boolean offset = modelType.startsWith("gemma") && name.endsWith("norm.weight");
        assertArrayEquals(all(expected, name), all(seen, name), offset ? 0x1p-21f : 0, name);
      }
      if (modelType.equals("phi3")) {
        assertEquals("longrope", file.metadata().getString("phi3.rope.scaling.type"));
        assertEquals(12, file.metadata().getLong("phi3.rope.scaling.original_context_length"));
        float[] longer = new float[2];
        file.dequantize("rope_factors_long.weight", 0, 2, longer, 0);
        assertArrayEquals(new float[] {2, 6.5f}, longer);
        return;
      }
      String query = "model.layers.1.self_attn.q_proj.weight";
      float[] stored = new float[modelType.equals("olmo2") ? 12 * 12 : 24 * 12];
      file.dequantize("blk.1.attn_q.weight", 0, stored.length, stored, 0);
      // llama.cpp rotates neighbours of these families' heads, halves of the others'
      assertEquals(
          Set.of("mistral", "smollm3", "mixtral").contains(modelType),
          !Arrays.equals(all(expected, query), stored),
          modelType);
    }
  }

  @Test
  void whatLlamaCppTakesForGrantedIsNotWrittenOtherwise() throws IOException {
    Path smolLm3 =
        TinyChat.of("smollm3", Map.of("no_rope_layers", "[1, 0]"), temp.resolve("smollm3"));
    InvalidInputException layers =
        assertThrows(
            InvalidInputException.class, () -> export(smolLm3, Optional.empty(), FileType.F32));
    assertTrue(layers.getMessage().contains("do not rotate positions"), layers.getMessage());
    String llama3 =
        "{\"rope_type\": \"llama3\", \"factor\": 8.0, \"low_freq_factor\": 1.0,"
            + " \"high_freq_factor\": 4.0, \"original_max_position_embeddings\": 64}";
    Path qwen2 = TinyChat.of("qwen2", Map.of("rope_scaling", llama3), temp.resolve("qwen2"));
    InvalidInputException scaling =
        assertThrows(
            InvalidInputException.class, () -> export(qwen2, Optional.empty(), FileType.F32));
    assertTrue(
        scaling.getMessage().endsWith("for the architecture 'llama' alone, this is 'qwen2'"),
        scaling.getMessage());
    assertFalse(Files.exists(out));
  }

  @Test
  void metadataSaysWhatTheModelAndItsTokenizerAre() {
    export(base, Optional.empty(), FileType.F16);
    try (GgufFile file = GgufFile.open(out)) {
      GgufMetadata m = file.metadata();
      assertEquals("llama", m.getString("general.architecture"));
      assertEquals("tiny", m.getString("general.name"));
      assertEquals("9.3K", m.getString("general.size_label"));
      assertEquals(1, m.getLong("general.file_type"));
      assertEquals(2, m.getLong("general.quantization_version"));
      assertEquals(2, m.getLong("llama.block_count"));
      assertEquals(512, m.getLong("llama.context_length"));
      assertEquals(8, m.getLong("llama.attention.key_length"));
      assertEquals(10_000f, m.getFloat("llama.rope.freq_base"));
      assertEquals("gpt2", m.getString("tokenizer.ggml.model"));
      assertEquals("gpt-2", m.getString("tokenizer.ggml.pre"));
      List<String> tokens = m.getStrings("tokenizer.ggml.tokens");
      assertEquals(259, tokens.size());
      assertEquals("<|im_end|>", tokens.get(SmallTokenizer.END));
      long[] types = m.getLongs("tokenizer.ggml.token_type");
      assertEquals(1, types['a']);
      assertEquals(3, types[SmallTokenizer.END]);
      assertEquals(SmallTokenizer.END, m.getLong("tokenizer.ggml.eos_token_id"));
      assertEquals(256, m.getLong("tokenizer.ggml.bos_token_id"));
      assertFalse(m.getBoolean("tokenizer.ggml.add_bos_token"));
      assertEquals(SmallTokenizer.CHATML, m.getString("tokenizer.chat_template"));
    }
  }

  @Test
  void theModelfileStandsBesideIt() throws IOException {
    Path modelfile = export(base, Optional.empty(), FileType.F16).modelfile();
    assertEquals(temp.resolve("tiny.Modelfile"), modelfile);
    String text = Files.readString(modelfile);
    assertTrue(text.startsWith("FROM ./tiny.gguf\nTEMPLATE \"\"\"{{ range .Messages }}"), text);
    assertTrue(text.endsWith("assistant\n\"\"\"\nPARAMETER stop \"<|im_end|>\"\n"), text);
  }

  /** PEFT's logits after merging, on a base with Llama 3's rope scaling. */
  @ParameterizedTest
  @ValueSource(strings = {"llama_plain", "llama_rslora", "llama_dora", "llama_modules_to_save"})
  void anAdapterIsMergedAsPeftMergesIt(String name) throws IOException {
    Path fixture = Shared.fixtures("lora").resolve(name);
    try (SafetensorsFile golden = SafetensorsFile.open(fixture.resolve("golden.safetensors"))) {
      int[] ids = new int[(int) golden.tensor("input_ids").dimensions()[1]];
      for (int i = 0; i < ids.length; i++) {
        ByteBuffer id = golden.bytes("input_ids", 8L * i, 8).order(ByteOrder.LITTLE_ENDIAN);
        ids[i] = (int) id.getLong(0);
      }
      float[] logits = mergedLogits(fixture, ids);
      float[] expected = new float[logits.length];
      golden.readFloats("merged_logits", 0, expected, 0, expected.length);
      assertArrayEquals(expected, logits, 1e-4f); // the reference's own bound
    }
  }

  /** Ranks by pattern, a pattern for targets, some layers only: as the adapter computes. */
  @ParameterizedTest
  @ValueSource(strings = {"llama_rank_pattern", "llama_regex", "llama_layers"})
  void aMergedModelComputesWhatBaseAndAdapterDo(String name) throws IOException {
    Path fixture = Shared.fixtures("lora").resolve(name);
    int[] ids = {36, 76, 174, 252, 130, 214, 7, 99};
    try (CausalLm model = load(Shared.fixtures("models").resolve("llama"));
        LoraAdapter adapter = AdapterStore.load(model, fixture)) {
      assertFalse(adapter.modules().isEmpty());
      assertArrayEquals(logits(model, ids), mergedLogits(fixture, ids), 1e-4f);
    }
  }

  /** Exports the fixture's base with the adapter, loads the file, and asks it. */
  private float[] mergedLogits(Path adapter, int[] ids) throws IOException {
    Path copy = Files.createDirectory(temp.resolve("copy"));
    try (Stream<Path> files = Files.list(Shared.fixtures("models").resolve("llama"))) {
      for (Path file : files.toList()) {
        Files.copy(file, copy.resolve(file.getFileName()));
      }
    }
    SmallTokenizer.write(copy, false);
    export(copy, Optional.of(adapter), FileType.F32);
    try (GgufFile file = GgufFile.open(out)) {
      float[] divisors = new float[8];
      file.dequantize("rope_freqs.weight", 0, 8, divisors, 0);
      // wavelengths of 2π and of 2π 10000^(7/8), where the original context is 64 tokens
      assertEquals(1, divisors[0]);
      assertEquals(8, divisors[7]);
    }
    Path merged = asBase(out, copy);
    exportsAgain(merged);
    try (CausalLm model = load(merged)) {
      return logits(model, ids);
    }
  }

  /** What was exported is a base like any other, the divisors of its frequencies included. */
  private void exportsAgain(Path gguf) throws IOException {
    SmallTokenizer.write(gguf.getParent(), false);
    Files.delete(out);
    Files.delete(temp.resolve("tiny.Modelfile"));
    export(gguf, Optional.empty(), FileType.F32);
    assertArrayEquals(Files.readAllBytes(gguf), Files.readAllBytes(out));
  }

  private static CausalLm load(Path base) {
    return CausalLm.load(base, new LoadOptions(Optional.empty(), DType.FLOAT32));
  }

  private static float[] logits(CausalLm model, int[] ids) {
    int[] positions = new int[ids.length];
    Arrays.setAll(positions, i -> i);
    try (Tensor logits = model.logits(ids, Pass.evaluating(0, ids.length), positions)) {
      return logits.toFloats();
    }
  }

  /** What is in blocks already, and stays in such blocks, comes out byte for byte. */
  @Test
  void aGgufBaseInItsOwnTypeKeepsItsBytes() throws IOException {
    Path gguf = Shared.path(SMOLLM2 + "SmolLM2-135M-Instruct.Q4_1.gguf");
    ModelExport.Report report =
        ModelExport.write(
            new ModelExport.Request(
                gguf, Optional.empty(), FileType.Q4_1, out, Optional.empty(), Optional.empty()),
            notices::add);
    assertEquals("{F32=61, Q4_1=210, Q8_0=1}", report.tensors().toString());
    assertEquals(0, report.relativeError(), 1e-7);
    try (GgufFile before = GgufFile.open(gguf);
        GgufFile after = GgufFile.open(out)) {
      assertEquals(Set.copyOf(before.names()), Set.copyOf(after.names()));
      for (GgufTensor tensor : before.tensors().values()) {
        GgufTensor other = after.tensor(tensor.name());
        assertEquals(tensor.type(), other.type(), tensor.name());
        assertArrayEquals(bytes(gguf, tensor), bytes(out, other), tensor.name());
      }
      vocabularyIsTheConverters(before.metadata(), after.metadata());
    }
  }

  /** K types are not exact when encoded anew, so what the adapter leaves alone is copied. */
  @Test
  void tensorsThatNothingChangesKeepTheirBytes() throws IOException {
    Path wide = writeWide(temp.resolve("wide"));
    Path adapter = temp.resolve("adapter");
    LoraConfig config =
        LoraConfig.DEFAULT.withRank(2, 4).withTargets(new TargetModules.Names(List.of("up_proj")));
    try (CausalLm model = load(wide);
        LoraAdapter lora = LoraAdapter.inject(model, config, 1)) {
      for (Parameter p : lora.parameters().parameters()) {
        p.value().floats().put(0, 0.5f);
      }
      AdapterStore.save(lora, adapter, wide.toString(), true);
    }
    export(wide, Optional.empty(), FileType.Q4_K_S);
    Path again = asBase(out, wide);
    SmallTokenizer.write(again.getParent(), false);
    Files.delete(out);
    Files.delete(temp.resolve("tiny.Modelfile"));
    export(again, Optional.of(adapter), FileType.Q4_K_S);
    int kept = 0;
    try (GgufFile before = GgufFile.open(again);
        GgufFile after = GgufFile.open(out)) {
      for (GgufTensor tensor : before.tensors().values()) {
        byte[] ours = bytes(out, after.tensor(tensor.name()));
        boolean same = Arrays.equals(bytes(again, tensor), ours);
        assertEquals(!tensor.name().contains("ffn_up"), same, tensor.name());
        kept += tensor.type() == GgmlType.Q4_K ? 1 : 0;
      }
    }
    // of two layers q, k, gate, up and down, and the embedding; v is wider, o narrower than a block
    assertEquals(11, kept);
  }

  /** A model whose rows are whole super-blocks. */
  private static Path writeWide(Path folder) throws IOException {
    int hidden = 768;
    int inner = 256;
    TinyModel model = new TinyModel(5, false);
    model.fields.put("vocab_size", "259");
    model.fields.put("hidden_size", "" + hidden);
    model.fields.put("intermediate_size", "" + inner);
    model.add("model.embed_tokens.weight", 259, hidden);
    model.add("lm_head.weight", 259, hidden);
    model.add("model.norm.weight", hidden);
    for (int layer = 0; layer < 2; layer++) {
      String at = "model.layers." + layer + ".";
      model.add(at + "input_layernorm.weight", hidden);
      model.add(at + "post_attention_layernorm.weight", hidden);
      model.add(at + "self_attn.q_proj.weight", 24, hidden);
      model.add(at + "self_attn.k_proj.weight", 8, hidden);
      model.add(at + "self_attn.v_proj.weight", 8, hidden);
      model.add(at + "self_attn.o_proj.weight", hidden, 24);
      model.add(at + "mlp.gate_proj.weight", inner, hidden);
      model.add(at + "mlp.up_proj.weight", inner, hidden);
      model.add(at + "mlp.down_proj.weight", hidden, inner);
    }
    Files.createDirectory(folder);
    model.writeTo(folder);
    SmallTokenizer.write(folder, false);
    return folder;
  }

  /** llama.cpp's converter wrote the base's keys; what both write must agree. */
  private static void vocabularyIsTheConverters(GgufMetadata theirs, GgufMetadata ours) {
    String prefix = "tokenizer.ggml.";
    for (String key : List.of("tokens", "merges")) {
      assertEquals(theirs.getStrings(prefix + key), ours.getStrings(prefix + key), key);
    }
    assertArrayEquals(theirs.getLongs(prefix + "token_type"), ours.getLongs(prefix + "token_type"));
    for (String key : List.of("model", "pre")) {
      assertEquals(theirs.getString(prefix + key), ours.getString(prefix + key), key);
    }
    for (String key : List.of("bos", "eos", "unknown", "padding")) {
      String id = prefix + key + "_token_id";
      assertEquals(theirs.getLong(id), ours.getLong(id), id);
    }
    for (String key : List.of("add_bos_token", "add_space_prefix")) {
      assertEquals(theirs.getBoolean(prefix + key), ours.getBoolean(prefix + key), key);
    }
    String template = "tokenizer.chat_template";
    assertEquals(theirs.getString(template).strip(), ours.getString(template).strip());
  }

  private static byte[] bytes(Path file, GgufTensor tensor) {
    try (RandomAccessFile in = new RandomAccessFile(file.toFile(), "r")) {
      byte[] bytes = new byte[Math.toIntExact(tensor.bytes())];
      in.seek(tensor.position());
      in.readFully(bytes);
      return bytes;
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  @Test
  void nothingIsWrittenOver() throws IOException {
    Files.writeString(out, "mine");
    refused(base, Optional.empty(), "tiny.gguf: exists already, expected a new place");
    assertEquals("mine", Files.readString(out));
    Files.delete(out);
    Files.writeString(temp.resolve("tiny.Modelfile"), "mine");
    refused(base, Optional.empty(), "tiny.Modelfile: exists already");
    assertFalse(Files.exists(out));
  }

  @Test
  void aDirectoryThatIsMissingIsFoundBeforeTheBaseIsRead() {
    out = temp.resolve("none/m.gguf");
    Path noBase = temp.resolve("no-base");
    assertEquals(
        out + ": its directory does not exist, create it first",
        assertThrows(
                InvalidInputException.class, () -> export(noBase, Optional.empty(), FileType.Q8_0))
            .getMessage());
  }

  @Test
  void anAdapterOfAnotherBaseIsRefused() throws IOException {
    Path adapter = Shared.fixtures("lora").resolve("llama_plain");
    InvalidInputException e =
        assertThrows(
            InvalidInputException.class, () -> export(base, Optional.of(adapter), FileType.F16));
    assertTrue(e.problems().size() > 1);
    String expected = "expected [8, 12] by the base and the rank in adapter_config.json";
    assertTrue(e.getMessage().contains(expected), e.getMessage());
    assertFalse(Files.exists(out));
  }

  @Test
  void aTokenizerThatLlamaCppDoesNotKnowNeedsAName() {
    InvalidInputException e =
        assertThrows(
            InvalidInputException.class,
            () ->
                ModelExport.write(
                    new ModelExport.Request(
                        base,
                        Optional.empty(),
                        FileType.F16,
                        out,
                        Optional.empty(),
                        Optional.empty()),
                    notices::add));
    assertTrue(e.getMessage().contains("name the nearest of llama.cpp's with --pre"));
    assertFalse(Files.exists(out));
  }

  @Test
  void weightsThatAreNotFiniteLeaveNoFile() throws IOException {
    Path weights = base.resolve("model.safetensors");
    byte[] bytes = Files.readAllBytes(weights);
    Arrays.fill(bytes, bytes.length - 4, bytes.length, (byte) 0xff);
    Files.write(weights, bytes);
    refused(base, Optional.empty(), "tensor 'output.weight' holds NaN at [258, 11]");
    try (Stream<Path> files = Files.list(temp)) {
      assertEquals(List.of(base), files.toList());
    }
  }

  @Test
  void typesThatLoseMuchSaySo() throws IOException {
    Path wide = writeWide(temp.resolve("wide"));
    ModelExport.Report report = export(wide, Optional.empty(), FileType.Q2_K);
    String line = "tensors of types that lose much: {Q2_K=9, Q3_K=4}; answers will be noticeably";
    assertTrue(notices.stream().anyMatch(notice -> notice.startsWith(line)), notices.toString());
    assertTrue(report.relativeError() > 0.2 && report.relativeError() < 0.3);
  }

  private void refused(Path from, Optional<Path> adapter, String expected) {
    InvalidInputException e =
        assertThrows(InvalidInputException.class, () -> export(from, adapter, FileType.F16));
    assertTrue(e.getMessage().contains(expected), e.getMessage());
  }
}
