package ai.nibble.export.merge;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;

import ai.nibble.InvalidInputException;
import ai.nibble.lora.AdapterNames;
import ai.nibble.model.TinyModel;
import ai.nibble.model.WeightSource;
import ai.nibble.quant.QuantConfig;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Tensor;
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
import org.junit.jupiter.api.io.TempDir;

/** Merging a {@link TinyModel}: requests, and what is expected of every test. */
abstract class MergeFixture {
  static final String Q = "model.layers.1.self_attn.q_proj";
  static final String DOWN = "model.layers.0.mlp.down_proj";
  static final String EMBEDDING = "model.embed_tokens.weight";
  static final String HEAD = "lm_head.weight";

  @TempDir Path temp;
  final List<String> notices = new ArrayList<>();
  long liveBefore;

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

  Path base(String... fields) throws IOException {
    return base(new TinyModel(3, false).scaled(0.3f), fields);
  }

  Path base(TinyModel model, String... fields) throws IOException {
    Path directory = Files.createDirectories(temp.resolve("base"));
    for (int i = 0; i < fields.length; i += 2) {
      model.fields.put(fields[i], fields[i + 1]);
    }
    model.writeTo(directory);
    return directory;
  }

  Path out() {
    return temp.resolve("merged");
  }

  MergeReport merge(Path base, MergeRequest.Adapter... adapters) {
    return Merge.run(
        request(base, Optional.empty(), Optional.empty(), adapters), notices::add, line -> {});
  }

  MergeRequest request(
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

  MergeReport undo(Path merged, Path adapter, Path output) {
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

  static MergeRequest.Adapter plain(Path directory) {
    return new MergeRequest.Adapter(directory, OptionalDouble.empty());
  }

  static MergeRequest.Adapter weighted(Path directory, double weight) {
    return new MergeRequest.Adapter(directory, OptionalDouble.of(weight));
  }

  static float[] values(Path model, String name) {
    try (WeightSource source = WeightSource.open(model, notice -> {})) {
      return values(source, name);
    }
  }

  static float[] values(WeightSource source, String name) {
    long n = Arrays.stream(source.shape(name)).reduce(1, (a, b) -> a * b);
    float[] values = new float[(int) n];
    source.read(name, 0, values, 0, values.length);
    return values;
  }

  /** Adds {@code factor · B·A}, in double. */
  static double[] plus(double[] w, TinyAdapter adapter, String module, double factor) {
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

  static double[] doubles(float[] values) {
    double[] doubles = new double[values.length];
    Arrays.setAll(doubles, i -> values[i]);
    return doubles;
  }

  /** Four float32 roundings at most: two products, a sum, a sum. Values are below 8. */
  static void assertNear(double[] expected, float[] actual) {
    assertArrayEquals(expected, doubles(actual), 4 * 8 * 0x1p-24);
  }

  InvalidInputException refused(Path base, MergeRequest.Adapter... adapters) {
    InvalidInputException e =
        assertThrows(InvalidInputException.class, () -> merge(base, adapters));
    assertFalse(Files.exists(out()), "something was written");
    return e;
  }
}
