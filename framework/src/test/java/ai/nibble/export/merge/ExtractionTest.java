package ai.nibble.export.merge;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.InvalidInputException;
import ai.nibble.lora.AdapterConfig;
import ai.nibble.lora.AdapterConfigFile;
import ai.nibble.lora.AdapterNames;
import ai.nibble.lora.AdapterStore;
import ai.nibble.lora.LoraAdapter;
import ai.nibble.lora.TargetModules;
import ai.nibble.model.CausalLm;
import ai.nibble.model.LoadOptions;
import ai.nibble.model.TinyModel;
import ai.nibble.quant.Quant4Config;
import ai.nibble.quant.Quant4Type;
import ai.nibble.quant.QuantConfig;
import ai.nibble.safetensors.SafetensorsFile;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Tensor;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalDouble;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ExtractionTest {
  private static final Quant4Config NF4 = new Quant4Config(Quant4Type.NF4, 64, true);

  @TempDir Path temp;
  private final List<String> notices = new ArrayList<>();
  private long liveBefore;

  @BeforeEach
  void countTensors() {
    liveBefore = Tensor.live();
  }

  @AfterEach
  void everyTensorIsClosed() {
    assertEquals(liveBefore, Tensor.live());
  }

  private Path write(String name, TinyModel model) throws IOException {
    Path directory = Files.createDirectories(temp.resolve(name));
    model.writeTo(directory);
    return directory;
  }

  private Path merged(Path base, Path adapter, Optional<QuantConfig> quantization) {
    Path merged = temp.resolve("merged");
    Merge.run(
        new MergeRequest(
            base,
            List.of(new MergeRequest.Adapter(adapter, OptionalDouble.empty())),
            quantization,
            Optional.of(DType.FLOAT32),
            MergeRequest.MAX_SHARD_BYTES,
            Optional.empty(),
            Optional.empty(),
            false,
            merged),
        notices::add,
        line -> {});
    return merged;
  }

  private ExtractReport extract(
      Path base, Optional<QuantConfig> quantization, Path tuned, int rank) {
    return Extraction.run(
        new ExtractRequest(base, quantization, tuned, rank, temp.resolve("extracted")),
        notices::add,
        module -> {});
  }

  private static double[] product(float[] a, float[] b, int r, double scaling) {
    int in = a.length / r;
    double[] product = new double[b.length / r * in];
    for (int i = 0; i < product.length; i++) {
      for (int k = 0; k < r; k++) {
        product[i] += scaling * b[i / in * r + k] * a[k * in + i % in];
      }
    }
    return product;
  }

  private static float[] floats(SafetensorsFile file, String name) {
    float[] values = new float[(int) file.tensor(name).elements()];
    file.readFloats(name, 0, values, 0, values.length);
    return values;
  }

  @Test
  void whatWasMergedComesBackAsTheSameDelta() throws IOException {
    Path base = write("base", new TinyModel(3, false));
    TinyAdapter adapter = TinyAdapter.plain(1);
    Path merged = merged(base, adapter.write(temp.resolve("a")), Optional.of(NF4));
    ExtractReport report = extract(base, Optional.of(NF4), merged, 2);
    assertEquals(4, report.modules().size());
    assertEquals(1, report.explained(), 1e-6);
    AdapterConfig config = AdapterConfigFile.read(temp.resolve("extracted"));
    assertEquals(1, config.lora().scaling("any"));
    try (SafetensorsFile file =
        SafetensorsFile.open(temp.resolve("extracted").resolve(AdapterStore.WEIGHTS))) {
      for (ExtractReport.Module module : report.modules()) {
        String a = AdapterNames.loraA(module.path());
        String b = AdapterNames.loraB(module.path());
        double[] given = product(adapter.values.get(a), adapter.values.get(b), 2, 4 / 2.0);
        double[] found = product(floats(file, a), floats(file, b), 2, 1);
        for (int i = 0; i < given.length; i++) {
          // the merged weight, below 8, was rounded to float32, and the decomposition is float32
          assertEquals(given[i], found[i], 8 * 8 * 0x1p-24, module.path() + " " + i);
        }
      }
    }
    assertEquals(List.of(), notices.stream().filter(n -> n.contains("differs")).toList());
  }

  @Test
  void anExtractedAdapterGoesOnTheModel() throws IOException {
    Path base = write("base", new TinyModel(3, false));
    extract(base, Optional.empty(), write("tuned", new TinyModel(4, false)), 3);
    AdapterConfig config = AdapterConfigFile.read(temp.resolve("extracted"));
    TargetModules.Names targets = (TargetModules.Names) config.lora().targetModules();
    assertEquals(7, targets.names().size(), "names of modules, not paths: " + targets);
    try (CausalLm model = CausalLm.load(base, LoadOptions.unquantized(DType.FLOAT32));
        LoraAdapter loaded = AdapterStore.load(model, temp.resolve("extracted"))) {
      assertEquals(14, loaded.modules().size());
    }
  }

  @Test
  void whatAnAdapterCannotHoldIsSaid() throws IOException {
    Path base = write("base", new TinyModel(3, false));
    TinyModel tuned = new TinyModel(3, false);
    tuned.add("model.norm.weight", 12);
    tuned.add("model.layers.0.self_attn.k_proj.weight", 8, 12);
    ExtractReport report = extract(base, Optional.empty(), write("tuned", tuned), 8);
    assertEquals(1, report.modules().size());
    assertEquals(1, report.explained(), 1e-6);
    assertTrue(
        notices.get(0).startsWith("'model.norm.weight' differs too, by up to "), notices + "");
    assertEquals(1, notices.size(), notices + "");
  }

  private void refused(String expected, Path base, Path tuned, int rank) {
    String message =
        assertThrows(
                InvalidInputException.class, () -> extract(base, Optional.empty(), tuned, rank))
            .getMessage();
    assertEquals(expected, message);
    assertFalse(Files.exists(temp.resolve("extracted")));
  }

  @Test
  void modelsAndRanksThatDoNotFitAreRefused() throws IOException {
    Path base = write("base", new TinyModel(3, false));
    refused(base + ": its linears are those of " + base + ": no adapter", base, base, 2);
    refused(
        "--rank is 9, but the weight of 'model.layers.0.self_attn.k_proj' has only rank 8: lower it",
        base,
        base,
        9);
    TinyModel wide = new TinyModel(3, false);
    wide.fields.put("vocab_size", "13");
    wide.add("model.embed_tokens.weight", 13, 12);
    wide.add("lm_head.weight", 13, 12);
    Path tuned = write("tuned", wide);
    String expected =
        tuned
            + ": tensor 'model.embed_tokens.weight' has the shape [13, 12], expected the base's"
            + " [11, 12]"
            + System.lineSeparator()
            + tuned
            + ": tensor 'lm_head.weight' has the shape [13, 12], expected the base's [11, 12]";
    refused(expected, base, tuned, 2);
  }
}
