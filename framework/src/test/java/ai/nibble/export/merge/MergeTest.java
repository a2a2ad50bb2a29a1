package ai.nibble.export.merge;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.InvalidInputException;
import ai.nibble.lora.AdapterNames;
import ai.nibble.lora.AdapterNames.Kind;
import ai.nibble.model.TinyModel;
import ai.nibble.model.WeightSource;
import ai.nibble.quant.Quant4Config;
import ai.nibble.quant.Quant4Type;
import ai.nibble.quant.QuantConfig;
import ai.nibble.safetensors.SafetensorsDirectory;
import ai.nibble.tensor.Bfloat16;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Tensor;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What is written where, on models of a few kilobytes. */
class MergeTest {
  private static final String Q = "model.layers.1.self_attn.q_proj";
  private static final String DOWN = "model.layers.0.mlp.down_proj";
  private static final String EMBEDDING = "model.embed_tokens.weight";
  private static final String HEAD = "lm_head.weight";

  @TempDir Path temp;
  private final List<String> notices = new ArrayList<>();
  private long liveBefore;

  @BeforeEach
  void countTensors() {
    liveBefore = Tensor.live();
  }

  @AfterEach
  void everyTensorIsClosedAndNothingIsLeftBeside() throws IOException {
    assertEquals(liveBefore, Tensor.live());
    try (Stream<Path> files = Files.list(temp)) {
      assertEquals(
          List.of(), files.filter(f -> f.getFileName().toString().startsWith(".")).toList());
    }
  }

  private Path base(String... fields) throws IOException {
    return base(new TinyModel(3, false).scaled(0.3f), fields);
  }

  private Path base(TinyModel model, String... fields) throws IOException {
    Path directory = Files.createDirectories(temp.resolve("base"));
    for (int i = 0; i < fields.length; i += 2) {
      model.fields.put(fields[i], fields[i + 1]);
    }
    model.writeConfig(directory);
    model.writeSafetensors(directory.resolve("model.safetensors"));
    return directory;
  }

  private Path out() {
    return temp.resolve("merged");
  }

  private MergeReport merge(Path base, MergeRequest.Adapter... adapters) {
    return Merge.run(
        request(base, Optional.empty(), Optional.empty(), adapters), notices::add, line -> {});
  }

  private MergeRequest request(
      Path base,
      Optional<QuantConfig> quantization,
      Optional<DType> dtype,
      MergeRequest.Adapter... adapters) {
    return new MergeRequest(
        base,
        List.of(adapters),
        quantization,
        dtype,
        MergeRequest.MAX_SHARD_BYTES,
        Optional.empty(),
        Optional.empty(),
        false,
        out());
  }

  private MergeReport undo(Path merged, Path adapter, Path output) {
    return Merge.run(
        new MergeRequest(
            merged,
            List.of(plain(adapter)),
            Optional.empty(),
            Optional.empty(),
            MergeRequest.MAX_SHARD_BYTES,
            Optional.empty(),
            Optional.empty(),
            true,
            output),
        notices::add,
        line -> {});
  }

  private static MergeRequest.Adapter plain(Path directory) {
    return new MergeRequest.Adapter(directory, OptionalDouble.empty());
  }

  private static MergeRequest.Adapter weighted(Path directory, double weight) {
    return new MergeRequest.Adapter(directory, OptionalDouble.of(weight));
  }

  private static float[] values(Path model, String name) {
    try (WeightSource source = WeightSource.open(model, notice -> {})) {
      return values(source, name);
    }
  }

  private static float[] values(WeightSource source, String name) {
    long n = Arrays.stream(source.shape(name)).reduce(1, (a, b) -> a * b);
    float[] values = new float[(int) n];
    source.read(name, 0, values, 0, values.length);
    return values;
  }

  /** Adds {@code factor · B·A}, in double. */
  private static double[] plus(double[] w, TinyAdapter adapter, String module, double factor) {
    float[] a = adapter.values.get(AdapterNames.loraA(module));
    float[] b = adapter.values.get(AdapterNames.loraB(module));
    int r = (int) adapter.shapes.get(AdapterNames.loraA(module))[0];
    int in = a.length / r;
    double[] sum = w.clone();
    for (int i = 0; i < sum.length; i++) {
      for (int k = 0; k < r; k++) {
        sum[i] += factor * b[i / in * r + k] * a[k * in + i % in];
      }
    }
    return sum;
  }

  private static double[] doubles(float[] values) {
    double[] doubles = new double[values.length];
    Arrays.setAll(doubles, i -> values[i]);
    return doubles;
  }

  /** Four float32 roundings at most: two products, a sum, a sum. Values are below 8. */
  private static void assertNear(double[] expected, float[] actual) {
    assertArrayEquals(expected, doubles(actual), 4 * 8 * 0x1p-24);
  }

  private InvalidInputException refused(Path base, MergeRequest.Adapter... adapters) {
    InvalidInputException e =
        assertThrows(InvalidInputException.class, () -> merge(base, adapters));
    assertFalse(Files.exists(out()), "something was written");
    return e;
  }

  @Test
  void adaptersWithWeightsAreSummedExactly() throws IOException {
    Path base = base();
    TinyAdapter one = TinyAdapter.plain(1);
    TinyAdapter two = new TinyAdapter(2);
    two.fields.put("target_modules", "[\"q_proj\"]");
    two.fields.put("r", "3");
    two.fields.put("use_rslora", "true");
    two.module("model.layers.0.self_attn.q_proj", 24, 12, 3);
    two.module(Q, 24, 12, 3);
    MergeReport report =
        merge(
            base,
            weighted(one.write(temp.resolve("one")), 0.5),
            weighted(two.write(temp.resolve("two")), -2));
    assertTrue(report.proof().holds());
    assertEquals(4, report.changedTensors());
    assertEquals(DType.FLOAT32, report.dtype());
    double[] w = doubles(values(base, Q + ".weight"));
    double[] expected = plus(plus(w, one, Q, 0.5 * 4 / 2), two, Q, -2 * 4 / Math.sqrt(3));
    assertNear(expected, values(out(), Q + ".weight"));
    double[] down = doubles(values(base, DOWN + ".weight"));
    assertNear(plus(down, one, DOWN, 0.5 * 4 / 2), values(out(), DOWN + ".weight"));
    assertArrayEquals(values(base, EMBEDDING), values(out(), EMBEDDING));
  }

  @Test
  void doraScalesEachRowToItsMagnitude() throws IOException {
    Path base = base();
    TinyAdapter dora = TinyAdapter.plain(1);
    dora.fields.put("use_dora", "true");
    for (int layer = 0; layer < 2; layer++) {
      dora.magnitudes("model.layers." + layer + ".self_attn.q_proj", 24);
      dora.magnitudes("model.layers." + layer + ".mlp.down_proj", 12);
    }
    Path adapter = dora.write(temp.resolve("dora"));
    assertTrue(merge(base, plain(adapter)).proof().holds());
    double[] expected = plus(doubles(values(base, Q + ".weight")), dora, Q, 2);
    float[] m = dora.values.get(AdapterNames.name(Q, Kind.LORA_MAGNITUDE_VECTOR));
    for (int row = 0; row < 24; row++) {
      double norm = 0;
      for (int c = 0; c < 12; c++) {
        norm += expected[row * 12 + c] * expected[row * 12 + c];
      }
      for (int c = 0; c < 12; c++) {
        expected[row * 12 + c] *= m[row] / Math.sqrt(norm);
      }
    }
    assertNear(expected, values(out(), Q + ".weight"));
    String message =
        assertThrows(
                InvalidInputException.class, () -> undo(out(), adapter, temp.resolve("undone")))
            .getMessage();
    assertTrue(message.contains("is a DoRA adapter, which replaced the rows' norms"), message);
    assertFalse(Files.exists(temp.resolve("undone")));
  }

  @Test
  void doraGoesAloneAndWithWeightOne() throws IOException {
    TinyAdapter dora = new TinyAdapter(1);
    dora.fields.put("use_dora", "true");
    dora.fields.put("target_modules", "[\"q_proj\"]");
    for (int layer = 0; layer < 2; layer++) {
      dora.module("model.layers." + layer + ".self_attn.q_proj", 24, 12, 2);
      dora.magnitudes("model.layers." + layer + ".self_attn.q_proj", 24);
    }
    Path adapter = dora.write(temp.resolve("dora"));
    String message = refused(base(), weighted(adapter, 0.5)).getMessage();
    assertEquals(
        adapter + ": is a DoRA adapter, whose update is no sum: merge it alone and with weight 1",
        message);
  }

  @Test
  void aTrainedHeadOfATiedModelIsWrittenAndTheConfigurationSaysSo() throws IOException {
    TinyModel tied = new TinyModel(3, false).scaled(0.3f);
    tied.remove(HEAD);
    Path base = base(tied, "tie_word_embeddings", "true", "quirk", "1.50");
    TinyAdapter adapter = TinyAdapter.plain(1);
    adapter.fields.put("modules_to_save", "[\"lm_head\"]");
    adapter.add("base_model.model.lm_head.weight", 1, 11, 12);
    assertTrue(merge(base, plain(adapter.write(temp.resolve("a")))).proof().holds());
    assertArrayEquals(adapter.values.get("base_model.model.lm_head.weight"), values(out(), HEAD));
    assertArrayEquals(values(base, EMBEDDING), values(out(), EMBEDDING));
    JsonNode config = new ObjectMapper().readTree(out().resolve("config.json").toFile());
    assertFalse(config.get("tie_word_embeddings").asBoolean());
    assertTrue(Files.readString(out().resolve("config.json")).contains("\"quirk\" : 1.50"));
  }

  @Test
  void aTrainedEmbeddingOfATiedModelLeavesTheHeadAsItWas() throws IOException {
    TinyModel tied = new TinyModel(3, false).scaled(0.3f);
    tied.remove(HEAD);
    Path base = base(tied, "tie_word_embeddings", "true");
    TinyAdapter adapter = TinyAdapter.plain(1);
    adapter.fields.put("modules_to_save", "[\"embed_tokens\"]");
    adapter.add("base_model.model.model.embed_tokens.weight", 1, 11, 12);
    assertTrue(merge(base, plain(adapter.write(temp.resolve("a")))).proof().holds());
    assertArrayEquals(values(base, EMBEDDING), values(out(), HEAD));
    assertArrayEquals(
        adapter.values.get("base_model.model.model.embed_tokens.weight"), values(out(), EMBEDDING));
  }

  @Test
  void trainedBiasesReplaceTheBasesAndThoseOfBAreAdded() throws IOException {
    Path base = base(new TinyModel(3, true).scaled(0.3f));
    TinyAdapter adapter = TinyAdapter.plain(1);
    adapter.fields.put("bias", "\"lora_only\"");
    adapter.fields.put("lora_bias", "true");
    for (int layer = 0; layer < 2; layer++) {
      String q = "model.layers." + layer + ".self_attn.q_proj";
      String down = "model.layers." + layer + ".mlp.down_proj";
      adapter.add(AdapterNames.name(q, Kind.BASE_LAYER_BIAS), 1, 24);
      adapter.add(AdapterNames.name(q, Kind.LORA_B_BIAS), 1, 24);
      adapter.add(AdapterNames.name(down, Kind.BIAS), 1, 12);
      adapter.add(AdapterNames.name(down, Kind.LORA_B_BIAS), 1, 12);
    }
    assertTrue(merge(base, plain(adapter.write(temp.resolve("a")))).proof().holds());
    float[] trained = adapter.values.get(AdapterNames.name(Q, Kind.BASE_LAYER_BIAS));
    float[] added = adapter.values.get(AdapterNames.name(Q, Kind.LORA_B_BIAS));
    double[] expected = new double[24];
    Arrays.setAll(expected, i -> trained[i] + 2.0 * added[i]);
    assertNear(expected, values(out(), Q + ".bias"));
    String k = "model.layers.1.self_attn.k_proj.bias";
    assertArrayEquals(values(base, k), values(out(), k));
  }

  @Test
  void aMissingTrainedBiasIsNamed() throws IOException {
    TinyAdapter adapter = TinyAdapter.plain(1);
    adapter.fields.put("bias", "\"lora_only\"");
    String message =
        refused(base(new TinyModel(3, true).scaled(0.3f)), plain(adapter.write(temp.resolve("a"))))
            .getMessage();
    assertTrue(
        message.contains("no tensor for '" + Q + ".bias', which 'bias' of adapter_config.json"),
        message);
  }

  @Test
  void fourBitWeightsAreThoseThatWereTrainedOn() throws IOException {
    Path base = base();
    Quant4Config nf4 = new Quant4Config(Quant4Type.NF4, 64, true);
    TinyAdapter adapter = TinyAdapter.plain(1);
    Path directory = adapter.write(temp.resolve("a"));
    MergeReport report =
        Merge.run(
            request(base, Optional.of(nf4), Optional.of(DType.FLOAT32), plain(directory)),
            notices::add,
            line -> {});
    assertTrue(report.proof().holds());
    String k = "model.layers.1.self_attn.k_proj.weight";
    try (WeightSource source = WeightSource.open(base, notices::add);
        HeldWeights held = new HeldWeights(source, Optional.of(nf4))) {
      float[] quantized = values(held, Q + ".weight");
      assertNear(plus(doubles(quantized), adapter, Q, 2), values(out(), Q + ".weight"));
      assertArrayEquals(values(held, k), values(out(), k));
      assertArrayEquals(values(source, HEAD), values(out(), HEAD));
      assertTrue(Arrays.mismatch(values(source, k), values(held, k)) >= 0);
    }
  }

  @Test
  void whatWasMergedIsWrittenIntoTheOutput() throws IOException {
    Path base = base();
    Path adapter = TinyAdapter.plain(1).write(temp.resolve("a"));
    Quant4Config fp4 = new Quant4Config(Quant4Type.FP4, 64, false);
    Merge.run(
        request(base, Optional.of(fp4), Optional.empty(), weighted(adapter, 0.25)),
        notices::add,
        line -> {});
    JsonNode json = new ObjectMapper().readTree(out().resolve("merge.json").toFile());
    String weights = "fp4, blocks of 64, dequantised to float32";
    assertEquals(weights, json.get("base_weights").asText());
    assertEquals(base.toString(), json.get("base").asText());
    JsonNode entry = json.get("adapters").get(0);
    String sha = MergeRecord.sha256Of(adapter.resolve("adapter_model.safetensors"));
    assertEquals(sha, entry.get("sha256").asText());
    assertEquals(0.25, entry.get("weight").asDouble());
    assertTrue(json.get("proof").get("positions").asInt() > 0);
    try (SafetensorsDirectory files = SafetensorsDirectory.open(out())) {
      var metadata = files.files().get(0).metadata();
      assertEquals("pt", metadata.get("format"));
      assertEquals(weights, metadata.get("base_weights"));
      assertEquals("a sha256:" + sha + " weight 0.25", metadata.get("adapters"));
      assertTrue(metadata.containsKey("nibble_version"));
    }
  }

  @Test
  void filesBesideTheWeightsAreCopiedByteForByte() throws IOException {
    Path base = base();
    List<String> names = List.of("generation_config.json", "special_tokens_map.json", "vocab.json");
    for (String name : names) {
      Files.writeString(base.resolve(name), "{ \"of\":  \"" + name + "\"}\r\n");
    }
    Path template = Files.writeString(temp.resolve("own.jinja"), "{{ messages }}");
    MergeRequest plain =
        request(
            base,
            Optional.empty(),
            Optional.empty(),
            plain(TinyAdapter.plain(1).write(temp.resolve("a"))));
    Merge.run(
        new MergeRequest(
            base,
            plain.adapters(),
            Optional.empty(),
            Optional.empty(),
            plain.maxShardBytes(),
            Optional.of(template),
            Optional.empty(),
            false,
            out()),
        notices::add,
        line -> {});
    for (String name : names) {
      assertArrayEquals(
          Files.readAllBytes(base.resolve(name)), Files.readAllBytes(out().resolve(name)), name);
    }
    assertEquals("{{ messages }}", Files.readString(out().resolve("chat_template.jinja")));
  }

  @Test
  void shardsAreNoLargerThanAskedForAndTheIndexListsThem() throws IOException {
    Path base = base();
    MergeRequest whole =
        request(
            base,
            Optional.empty(),
            Optional.empty(),
            plain(TinyAdapter.plain(1).write(temp.resolve("a"))));
    int most = 2000;
    MergeReport report =
        Merge.run(
            new MergeRequest(
                base,
                whole.adapters(),
                Optional.empty(),
                Optional.empty(),
                most,
                Optional.empty(),
                Optional.empty(),
                false,
                out()),
            notices::add,
            line -> {});
    assertTrue(report.shards() > 3, report.shards() + " shards");
    JsonNode index =
        new ObjectMapper().readTree(out().resolve("model.safetensors.index.json").toFile());
    assertEquals(report.bytes(), index.get("metadata").get("total_size").asLong());
    try (SafetensorsDirectory files = SafetensorsDirectory.open(out())) {
      assertEquals(report.shards(), files.files().size());
      for (var file : files.files()) {
        long bytes = file.names().stream().mapToLong(name -> file.tensor(name).bytes()).sum();
        assertTrue(bytes <= most || file.names().size() == 1, file.path() + ": " + bytes);
      }
      assertEquals(index.get("weight_map").size(), files.names().size());
    }
  }

  @Test
  void halfPrecisionOutputIsTheRoundedSum() throws IOException {
    Path base = base();
    TinyAdapter adapter = TinyAdapter.plain(1);
    Path directory = adapter.write(temp.resolve("a"));
    MergeReport report =
        Merge.run(
            request(base, Optional.empty(), Optional.of(DType.BFLOAT16), plain(directory)),
            notices::add,
            line -> {});
    assertTrue(report.proof().holds(), report.proof().toString());
    assertTrue(report.proof().difference().max() > 0);
    double[] exact = plus(doubles(values(base, Q + ".weight")), adapter, Q, 2);
    float[] written = values(out(), Q + ".weight");
    for (int i = 0; i < written.length; i++) {
      // half a unit in the last place of 8 binary digits, and float32's own roundings
      assertEquals(exact[i], written[i], Math.abs(exact[i]) * 0x1.01p-8, "element " + i);
      assertEquals(written[i], Bfloat16.round(written[i]));
    }
    JsonNode config = new ObjectMapper().readTree(out().resolve("config.json").toFile());
    assertEquals("bfloat16", config.get("torch_dtype").asText());
  }

  @Test
  void undoingGivesTheBaseBackButForRounding() throws IOException {
    Path base = base();
    Path adapter = TinyAdapter.plain(1).write(temp.resolve("a"));
    merge(base, weighted(adapter, 0.5));
    MergeReport report = undo(out(), adapter, temp.resolve("undone"));
    assertTrue(report.proof().holds());
    // half a unit of float32 of the sum and as much of the difference; values are below 8
    assertNear(doubles(values(base, Q + ".weight")), values(temp.resolve("undone"), Q + ".weight"));
    assertEquals(
        "undo",
        new ObjectMapper()
            .readTree(temp.resolve("undone/merge.json").toFile())
            .get("operation")
            .asText());
  }

  @Test
  void onlyWhatWasMergedCanBeUndone() throws IOException {
    Path base = base();
    merge(base, plain(TinyAdapter.plain(1).write(temp.resolve("a"))));
    Path other = TinyAdapter.plain(2).write(temp.resolve("b"));
    String message =
        assertThrows(InvalidInputException.class, () -> undo(out(), other, temp.resolve("undone")))
            .getMessage();
    assertEquals(
        out()
            + ": merge.json names the adapters [a], none with the weights of "
            + other
            + ": only what was merged can be taken out",
        message);
  }

  @Test
  void tensorsThatDoNotFitTheBaseAreNamed() throws IOException {
    TinyAdapter adapter = TinyAdapter.plain(1);
    adapter.module(Q, 24, 16, 2);
    adapter.module("model.layers.7.self_attn.q_proj", 24, 12, 2);
    adapter.shapes.remove(AdapterNames.loraB(DOWN));
    adapter.values.remove(AdapterNames.loraB(DOWN));
    Path directory = adapter.write(temp.resolve("a"));
    String file = directory.resolve("adapter_model.safetensors") + ": ";
    assertEquals(
        List.of(
            file
                + "no tensor '"
                + AdapterNames.loraB(DOWN)
                + "', which adapter_config.json asks for on this base",
            file
                + "tensor '"
                + AdapterNames.loraA(Q)
                + "' has the shape [2, 16], expected [2, 12] by the base and the rank in"
                + " adapter_config.json",
            file
                + "tensor 'base_model.model.model.layers.7.self_attn.q_proj.lora_A.weight' fits no"
                + " module of the base that the configuration targets (LORA_A of"
                + " model.layers.7.self_attn.q_proj)",
            file
                + "tensor 'base_model.model.model.layers.7.self_attn.q_proj.lora_B.weight' fits no"
                + " module of the base that the configuration targets (LORA_B of"
                + " model.layers.7.self_attn.q_proj)"),
        refused(base(), plain(directory)).problems());
  }

  @Test
  void theWrongRankIsNamed() throws IOException {
    TinyAdapter adapter = TinyAdapter.plain(1);
    adapter.fields.put("r", "4");
    String message = refused(base(), plain(adapter.write(temp.resolve("a")))).problems().get(0);
    assertTrue(message.contains("has the shape [2, 12], expected [4, 12]"), message);
  }

  @Test
  void valuesThatAreNotFiniteAreNamed() throws IOException {
    TinyAdapter adapter = TinyAdapter.plain(1);
    adapter.values.get(AdapterNames.loraA(Q))[5] = Float.NaN;
    String message = refused(base(), plain(adapter.write(temp.resolve("a")))).getMessage();
    assertTrue(message.endsWith("lora_A.weight' is not finite at element 5"), message);
  }

  @Test
  void aValueThatTheDtypeCannotHoldIsNamedAndNothingIsLeft() throws IOException {
    TinyAdapter adapter = TinyAdapter.plain(1);
    adapter.values.get(AdapterNames.loraA(Q))[5] = 1e6f;
    Path directory = adapter.write(temp.resolve("a"));
    Path base = base();
    String message =
        assertThrows(
                InvalidInputException.class,
                () ->
                    Merge.run(
                        request(
                            base, Optional.empty(), Optional.of(DType.FLOAT16), plain(directory)),
                        notices::add,
                        line -> {}))
            .getMessage();
    assertTrue(message.startsWith("tensor '" + Q + ".weight' holds "), message);
    assertTrue(message.endsWith("more than float16 can: write another dtype"), message);
    assertFalse(Files.exists(out()));
  }

  @Test
  void adaptersAndBasesThatAreNotThereAreRefused() throws IOException {
    Path base = base();
    Path empty = Files.createDirectories(temp.resolve("empty"));
    assertTrue(refused(base, plain(empty)).getMessage().startsWith(empty + ": no adapter_model"));
    Files.writeString(empty.resolve("adapter_model.bin"), "");
    assertTrue(refused(base, plain(empty)).getMessage().contains("is a pickle"));
    Files.delete(base.resolve("model.safetensors"));
    Files.writeString(
        base.resolve("model.safetensors.index.json"),
        "{\"weight_map\": {\"lm_head.weight\": \"model-00001-of-00002.safetensors\"}}");
    Path adapter = TinyAdapter.plain(1).write(temp.resolve("a"));
    String message = refused(base, plain(adapter)).getMessage();
    assertTrue(message.contains("'model-00001-of-00002.safetensors', which is missing"), message);
  }

  @Test
  void anOutputThatExistsIsNotTouched() throws IOException {
    Files.createDirectories(out());
    Files.writeString(out().resolve("mine"), "mine");
    Path adapter = TinyAdapter.plain(1).write(temp.resolve("a"));
    Path base = base();
    String message =
        assertThrows(InvalidInputException.class, () -> merge(base, plain(adapter))).getMessage();
    assertEquals(
        out() + ": exists already, expected a new directory: name another with --output", message);
    assertEquals("mine", Files.readString(out().resolve("mine")));
  }

  @Test
  void aTensorThatTwoAdaptersReplaceIsRefused() throws IOException {
    TinyAdapter adapter = TinyAdapter.plain(1);
    adapter.fields.put("modules_to_save", "[\"lm_head\"]");
    adapter.add("base_model.model.lm_head.weight", 1, 11, 12);
    Path one = adapter.write(temp.resolve("one"));
    Path two = adapter.write(temp.resolve("two"));
    assertEquals(
        two
            + ": replaces 'lm_head.weight', which another adapter changes too: merge only one of"
            + " them",
        refused(base(), plain(one), plain(two)).getMessage());
    assertTrue(
        refused(base(), weighted(one, 0.5)).getMessage().contains("give it weight 1 instead of"));
  }
}
