package ai.nibble.export.quantize;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.InvalidInputException;
import ai.nibble.model.CausalLm;
import ai.nibble.model.LoadOptions;
import ai.nibble.model.QuantizedCheckpointTest;
import ai.nibble.model.TinyModel;
import ai.nibble.nn.Pass;
import ai.nibble.quant.Quant4Config;
import ai.nibble.quant.Quant4Type;
import ai.nibble.quant.Quant8Config;
import ai.nibble.quant.QuantConfig;
import ai.nibble.quant.SkipModules;
import ai.nibble.safetensors.SafetensorsDirectory;
import ai.nibble.safetensors.SafetensorsTensor;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Tensor;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class QuantizeTest {
  private static final long ONE_FILE = 1L << 40;

  private final Path base = QuantizedCheckpointTest.directory("base");
  private final List<String> lines = new ArrayList<>();

  @TempDir Path temp;

  private QuantizeReport run(QuantConfig config, Path output, long maxShardBytes) {
    return Quantize.run(
        new QuantizeRequest(base, config, Optional.of(DType.FLOAT32), maxShardBytes, output),
        lines::add,
        lines::add);
  }

  private static byte[] bytes(SafetensorsDirectory files, String name) {
    byte[] bytes = new byte[(int) files.tensor(name).bytes()];
    files.read(name, 0, ByteBuffer.wrap(bytes));
    return bytes;
  }

  /**
   * Tensor for tensor what transformers and bitsandbytes saved of the same base; but nested absmax,
   * where bitsandbytes' table for CPUs picks the neighbour of the nearest entry now and then.
   */
  private void assertWrittenAsBitsandbytes(String name, QuantConfig config) throws IOException {
    Path output = temp.resolve(name);
    run(config, output, ONE_FILE);
    Path golden = QuantizedCheckpointTest.directory(name);
    int others = 0;
    try (SafetensorsDirectory expected = SafetensorsDirectory.open(golden);
        SafetensorsDirectory actual = SafetensorsDirectory.open(output)) {
      assertEquals(expected.names(), actual.names());
      for (String tensor : expected.names()) {
        SafetensorsTensor e = expected.tensor(tensor);
        SafetensorsTensor a = actual.tensor(tensor);
        if (name.equals("int8") && e.type() != a.type()) {
          others++; // embedding, norms and head, which were saved in float16
          continue;
        }
        assertEquals(e.type(), a.type(), tensor);
        assertEquals(e.shape(), a.shape(), tensor);
        if (tensor.endsWith(".absmax") && name.equals("nf4_double")) {
          assertNearby(bytes(expected, tensor), bytes(actual, tensor), map(expected, tensor));
        } else {
          assertArrayEquals(bytes(expected, tensor), bytes(actual, tensor), tensor);
        }
      }
    }
    assertEquals(name.equals("int8") ? 7 : 0, others);
    assertEquals(quantizationConfig(golden), quantizationConfig(output));
  }

  private static JsonNode quantizationConfig(Path directory) throws IOException {
    return new ObjectMapper()
        .readTree(directory.resolve("config.json").toFile())
        .path("quantization_config");
  }

  private static float[] map(SafetensorsDirectory files, String absmax) {
    float[] map = new float[256];
    files.readFloats(absmax.replace(".absmax", ".nested_quant_map"), 0, map, 0, 256);
    return map;
  }

  /** Its table has 65536 bins over [−1, 1]: an entry is at most a bin away, or the next one. */
  private static void assertNearby(byte[] expected, byte[] actual, float[] map) {
    int different = 0;
    for (int i = 0; i < expected.length; i++) {
      int e = expected[i] & 0xFF;
      int a = actual[i] & 0xFF;
      assertTrue(
          Math.abs(e - a) <= 1 || Math.abs(map[e] - map[a]) <= 2f / 65535, i + ": " + e + ", " + a);
      different += e == a ? 0 : 1;
    }
    assertTrue(different <= 1 + expected.length / 20, different + " of " + expected.length);
  }

  @Test
  void filesAreThoseThatBitsandbytesWrites() throws IOException {
    assertWrittenAsBitsandbytes("nf4_double", new Quant4Config(Quant4Type.NF4, 64, true));
    assertWrittenAsBitsandbytes("int8", new Quant8Config());
  }

  /** A run of names in the middle of a path is spelled out: transformers knows ends and starts. */
  @Test
  void skippedModulesStayPlainAndAreNamedAsTransformersReadsThem() throws IOException {
    SkipModules skipped = new SkipModules(List.of("layers.1.mlp", "k_proj"));
    QuantizeReport report =
        run(new Quant4Config(Quant4Type.FP4, 128, false, skipped), temp.resolve("out"), ONE_FILE);
    assertEquals(9, report.linears());
    assertEquals(5, report.kept());
    List<String> names = new ArrayList<>();
    quantizationConfig(temp.resolve("out"))
        .path("llm_int8_skip_modules")
        .forEach(name -> names.add(name.asText()));
    assertEquals(
        List.of(
            "lm_head",
            "k_proj",
            "model.layers.1.mlp.gate_proj",
            "model.layers.1.mlp.up_proj",
            "model.layers.1.mlp.down_proj"),
        names);
    InvalidInputException e =
        assertThrows(
            InvalidInputException.class,
            () -> run(new Quant8Config(6, List.of("qproj")), temp.resolve("other"), ONE_FILE));
    assertTrue(e.getMessage().contains("no module is named 'qproj'"), e.getMessage());
  }

  /**
   * transformers 4 makes a linear of a router, and 5 one tensor of a layer's experts: the first
   * must be told to leave it, the second cannot load experts that are quantised one by one.
   */
  @ParameterizedTest
  @ValueSource(strings = {"mixtral", "qwen3_moe"})
  void routersAreNamedAndQuantisedExpertsTold(String modelType) throws IOException {
    Path tiny = Files.createDirectory(temp.resolve("tiny"));
    TinyModel model = TinyModel.of(modelType, 3);
    model.writeTo(tiny);
    Path all = temp.resolve("all");
    Path some = temp.resolve("some");
    assertEquals(
        List.of("lm_head", "gate"), skipped(tiny, new Quant4Config(Quant4Type.NF4, 64, true), all));
    assertTrue(
        lines.contains(
            all
                + ": holds each expert as a quantised module, as Nibble and transformers 4 load it;"
                + " transformers 5 does not: for that leave them plain (--skip-modules experts)"),
        lines.toString());
    lines.clear();
    assertEquals(
        List.of("lm_head", "gate", "experts", "v_proj"),
        skipped(tiny, new Quant8Config(6, List.of("experts", "v_proj")), some));
    assertTrue(lines.stream().noneMatch(line -> line.contains("expert as")), lines.toString());
    try (SafetensorsDirectory files = SafetensorsDirectory.open(some)) {
      assertTrue(
          files.names().stream()
              .filter(name -> name.endsWith(".SCB"))
              .allMatch(name -> name.matches(".*\\.self_attn\\.[qko]_proj\\.SCB")));
    }
  }

  private List<String> skipped(Path model, QuantConfig config, Path output) throws IOException {
    Quantize.run(
        new QuantizeRequest(model, config, Optional.empty(), ONE_FILE, output),
        lines::add,
        lines::add);
    List<String> names = new ArrayList<>();
    quantizationConfig(output).path("llm_int8_skip_modules").forEach(n -> names.add(n.asText()));
    return names;
  }

  private float[] logits(Path model, Optional<QuantConfig> config) {
    int[] ids = {1, 5, 9, 13, 17};
    try (CausalLm loaded = CausalLm.load(model, new LoadOptions(config, DType.FLOAT32));
        Tensor logits = loaded.logits(ids, Pass.evaluating(0, ids.length), ids(ids.length))) {
      return logits.toFloats();
    }
  }

  private static int[] ids(int n) {
    int[] ids = new int[n];
    for (int i = 0; i < n; i++) {
      ids[i] = i;
    }
    return ids;
  }

  @Test
  void whatIsWrittenComputesWhatTheBaseQuantisedOnLoadingDoes() {
    for (QuantConfig config :
        List.of(
            new Quant4Config(Quant4Type.NF4, 64, true),
            new Quant4Config(Quant4Type.FP4, 32, false),
            new Quant8Config())) {
      Path output = temp.resolve(config.description());
      run(config, output, 20_000);
      assertArrayEquals(logits(base, Optional.of(config)), logits(output, Optional.empty()));
    }
  }

  /** Files that were done are kept as they are, to the time of their last change. */
  @Test
  void aQuantisationThatWasInterruptedIsGoneOnWith() throws IOException {
    Quant4Config nf4 = new Quant4Config(Quant4Type.NF4, 64, true);
    Path output = temp.resolve("out");
    QuantizeRequest request = new QuantizeRequest(base, nf4, Optional.empty(), 20_000, output);
    assertThrows(
        IllegalStateException.class,
        () ->
            Quantize.run(
                request,
                lines::add,
                line -> {
                  if (line.startsWith("writing model-00003")) {
                    throw new IllegalStateException("killed");
                  }
                }));
    assertFalse(Files.exists(output));
    Path unfinished = temp.resolve(".out.unfinished");
    Path first = unfinished.resolve("model-00001-of-00004.safetensors");
    assertTrue(Files.exists(first), Files.list(unfinished).toList().toString());
    var time = Files.getLastModifiedTime(first);

    InvalidInputException other =
        assertThrows(InvalidInputException.class, () -> run(new Quant8Config(), output, 20_000));
    assertTrue(other.getMessage().contains("beginning of something else"), other.getMessage());

    Quantize.run(request, lines::add, lines::add);
    assertEquals(time, Files.getLastModifiedTime(output.resolve(first.getFileName())));
    assertTrue(lines.contains("model-00002-of-00004.safetensors is there already"), lines + "");
    assertFalse(Files.exists(unfinished));
    try (var listing = Files.list(output)) {
      assertTrue(listing.noneMatch(f -> f.getFileName().toString().startsWith(".")));
    }
    assertArrayEquals(logits(base, Optional.of(nf4)), logits(output, Optional.empty()));
  }

  @Test
  void whatIsThereOrIsQuantisedAlreadyIsRefused() throws IOException {
    Quant4Config nf4 = new Quant4Config(Quant4Type.NF4, 64, true);
    Path there = Files.createDirectory(temp.resolve("there"));
    InvalidInputException e =
        assertThrows(InvalidInputException.class, () -> run(nf4, there, ONE_FILE));
    assertTrue(e.getMessage().contains("exists already"), e.getMessage());
    QuantizeRequest twice =
        new QuantizeRequest(
            QuantizedCheckpointTest.directory("gptq4"),
            nf4,
            Optional.empty(),
            ONE_FILE,
            temp.resolve("twice"));
    e =
        assertThrows(
            InvalidInputException.class, () -> Quantize.run(twice, lines::add, lines::add));
    assertTrue(
        e.getMessage().contains("is quantised already (GPTQ, 4 bits, groups of 32)"),
        e.getMessage());
    try (var listing = Files.list(temp)) {
      assertEquals(1, listing.count());
    }
  }
}
