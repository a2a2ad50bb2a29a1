package ai.nibble.train;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.InvalidInputException;
import ai.nibble.data.Batch;
import ai.nibble.data.Example;
import ai.nibble.model.AllWeights;
import ai.nibble.model.BaseFiles;
import ai.nibble.model.CausalLm;
import ai.nibble.model.Checkpointing;
import ai.nibble.model.LoadOptions;
import ai.nibble.model.ModelStore;
import ai.nibble.nn.Parameter;
import ai.nibble.nn.Pass;
import ai.nibble.optim.AdamW;
import ai.nibble.optim.AdamWConfig;
import ai.nibble.optim.ParameterRange;
import ai.nibble.optim.Schedule;
import ai.nibble.safetensors.SafetensorsFile;
import ai.nibble.tensor.Bfloat16;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Tensor;
import ai.nibble.train.objective.SupervisedFineTuning;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.net.URISyntaxException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * All weights of tiny models, against PyTorch; golden.py beside golden.json trained them there. One
 * model has a tied head, the other an untied one and biases everywhere.
 */
class FullTrainingTest {
  private static final int[] IDS = {7, 8, 9, 10, 52, 3};

  @TempDir Path temp;
  private long liveBefore;

  @BeforeEach
  void countTensors() {
    liveBefore = Tensor.live();
  }

  @AfterEach
  void everyTensorIsClosed() {
    assertEquals(liveBefore, Tensor.live());
  }

  private static Path golden(String name) {
    try {
      return Path.of(FullTrainingTest.class.getResource("full/golden.json").toURI())
          .resolveSibling(name);
    } catch (URISyntaxException e) {
      throw new IllegalStateException(e);
    }
  }

  private static JsonNode golden() throws IOException {
    return new ObjectMapper().readTree(golden("golden.json").toFile());
  }

  private static CausalLm load(String name, DType compute) {
    return CausalLm.load(golden(name), LoadOptions.trained(compute));
  }

  private static List<Batch> batches(JsonNode step) {
    List<Batch> batches = new ArrayList<>();
    for (JsonNode micro : step) {
      List<Example> rows = new ArrayList<>();
      for (JsonNode row : micro) {
        int[] ids = new int[row.get("ids").size()];
        int[] labels = new int[ids.length];
        for (int t = 0; t < ids.length; t++) {
          ids[t] = row.get("ids").get(t).asInt();
          labels[t] = row.get("loss").get(t).asBoolean() ? ids[t] : Example.IGNORED;
        }
        rows.add(new Example(ids, labels));
      }
      batches.add(Batch.of(rows));
    }
    return batches;
  }

  private static TrainStep trainStep(CausalLm model, JsonNode golden, Checkpointing checkpointing) {
    AllWeights all = new AllWeights(model);
    AdamWConfig config = new AdamWConfig(0.9, 0.999, 1e-8, golden.get("weight_decay").asDouble());
    AdamW adamW =
        new AdamW(config, ParameterRange.decayingMatrices(all.parameters(), config.weightDecay()));
    double clip = golden.get("max_grad_norm").asDouble();
    return new TrainStep(model, all, new SupervisedFineTuning(), adamW, clip, checkpointing);
  }

  /** The tolerances of loss and weights are those that training an adapter is held to. */
  @ParameterizedTest
  @CsvSource({
    "tied, NONE",
    "tied, SELECTIVE",
    "tied, BLOCK",
    "biases, NONE",
    "biases, PARTIAL",
    "biases, BLOCK"
  })
  void tenStepsFollowPyTorch(String name, Checkpointing checkpointing) throws IOException {
    JsonNode golden = golden();
    JsonNode log = golden.get("log").get(name);
    assertEquals(10, log.size());
    try (CausalLm model = load(name, DType.FLOAT32);
        SafetensorsFile expected = SafetensorsFile.open(golden(name + "/final.safetensors"))) {
      TrainStep step = trainStep(model, golden, checkpointing);
      for (int s = 0; s < log.size(); s++) {
        TrainStep.Outcome outcome =
            step.run(batches(golden.get("steps").get(s)), golden.get("lr").asDouble(), s);
        double norm = log.get(s).get("grad_norm").asDouble();
        assertEquals(log.get(s).get("loss").asDouble(), outcome.loss(), 2e-4, "step " + s);
        assertEquals(norm, outcome.gradNorm(), 1e-3 * norm, "step " + s);
      }
      List<Parameter> parameters = model.parameters().orElseThrow().parameters();
      assertEquals(expected.names(), names(parameters));
      for (Parameter p : parameters) {
        float[] theirs = new float[(int) p.value().numel()];
        expected.readFloats(p.name(), 0, theirs, 0, theirs.length);
        assertEquals(0, distance(theirs, p.value().toFloats()), 1e-3, p.name());
      }
    }
  }

  private static Set<String> names(List<Parameter> parameters) {
    return parameters.stream().map(Parameter::name).collect(Collectors.toSet());
  }

  /** Relative L2. */
  private static double distance(float[] expected, float[] actual) {
    double difference = 0;
    double norm = 0;
    for (int i = 0; i < expected.length; i++) {
      difference += Math.pow(expected[i] - actual[i], 2);
      norm += Math.pow(expected[i], 2);
    }
    return Math.sqrt(difference / norm);
  }

  private static float[] gradient(String name, DType compute, Checkpointing checkpointing)
      throws IOException {
    try (CausalLm model = load(name, compute)) {
      JsonNode golden = golden();
      trainStep(model, golden, checkpointing).run(batches(golden.get("steps").get(2)), 0, 1);
      return model.parameters().orElseThrow().grads().toFloats();
    }
  }

  @ParameterizedTest
  @CsvSource({"tied, FLOAT32", "tied, BFLOAT16", "biases, FLOAT32", "biases, BFLOAT16"})
  void checkpointingChangesNoBit(String name, DType compute) throws IOException {
    float[] plain = gradient(name, compute, Checkpointing.NONE);
    assertArrayEquals(plain, gradient(name, compute, Checkpointing.SELECTIVE));
    assertArrayEquals(plain, gradient(name, compute, Checkpointing.PARTIAL));
    assertArrayEquals(plain, gradient(name, compute, Checkpointing.BLOCK));
    assertArrayEquals(plain, gradient(name, compute, Checkpointing.NONE), "a second run");
  }

  /** Each activation and product carries 8 bits; over two layers their errors add up to a few %. */
  @ParameterizedTest
  @ValueSource(strings = {"tied", "biases"})
  void bfloat16GivesNearlyTheSameGradient(String name) throws IOException {
    double distance =
        distance(
            gradient(name, DType.FLOAT32, Checkpointing.NONE),
            gradient(name, DType.BFLOAT16, Checkpointing.NONE));
    assertTrue(distance > 1e-4 && distance < 5e-2, "" + distance);
  }

  @ParameterizedTest
  @ValueSource(strings = {"tied", "biases"})
  void everyWeightGetsAGradientThatDifferencesConfirm(String name) throws IOException {
    try (CausalLm model = load(name, DType.FLOAT32)) {
      JsonNode golden = golden();
      ((com.fasterxml.jackson.databind.node.ObjectNode) golden).put("max_grad_norm", 0);
      TrainStep step = trainStep(model, golden, Checkpointing.NONE);
      List<Batch> batches = batches(golden.get("steps").get(2));
      step.run(batches, 0, 1);
      for (Parameter p : model.parameters().orElseThrow().parameters()) {
        float[] gradient = p.grad().toFloats();
        float[] at = p.value().toFloats();
        double norm = Math.sqrt(sumOfSquares(gradient));
        assertTrue(norm > 0, p.name());
        // along the gradient itself the slope is its norm; errors: h² and 1e-7 of a loss of 4 over
        // h
        double h = 2e-3;
        double slope =
            (lossAt(step, batches, p, at, gradient, h / norm)
                    - lossAt(step, batches, p, at, gradient, -h / norm))
                / (2 * h);
        p.value().floats().put(0, at);
        assertEquals(norm, slope, 1e-2 * norm + 3e-4, p.name());
      }
    }
  }

  private static double lossAt(
      TrainStep step, List<Batch> batches, Parameter p, float[] at, float[] way, double h) {
    float[] moved = at.clone();
    for (int i = 0; i < moved.length; i++) {
      moved[i] += (float) (h * way[i]);
    }
    p.value().floats().put(0, moved);
    return step.run(batches, 0, 1).loss();
  }

  private static double sumOfSquares(float[] values) {
    double sum = 0;
    for (float v : values) {
      sum += (double) v * v;
    }
    return sum;
  }

  @Test
  void matricesDecayAndVectorsDoNot() {
    try (CausalLm model = load("biases", DType.FLOAT32)) {
      var parameters = model.parameters().orElseThrow();
      List<ParameterRange> ranges = ParameterRange.decayingMatrices(parameters, 0.1);
      for (Parameter p : parameters.parameters()) {
        long begin = parameters.offset(p.name());
        ParameterRange range =
            ranges.stream()
                .filter(r -> r.begin() <= begin && begin < r.end())
                .findFirst()
                .orElseThrow();
        boolean vector = p.name().endsWith("norm.weight") || p.name().endsWith(".bias");
        assertEquals(vector ? 0 : 0.1, range.weightDecay(), p.name());
        assertTrue(begin + p.value().numel() <= range.end(), p.name());
      }
    }
  }

  private static float[] logits(CausalLm model) {
    int[] all = {0, 1, 2, 3, 4, 5};
    try (Tensor logits = model.logits(IDS, Pass.evaluating(0, 4, 6), all)) {
      return logits.toFloats();
    }
  }

  private static Set<String> listing(Path directory) throws IOException {
    try (Stream<Path> files = Files.list(directory)) {
      return files.map(f -> f.getFileName().toString()).collect(Collectors.toSet());
    }
  }

  /** A base directory with files to copy; the configuration as given. */
  private Path base(String name, String config) throws IOException {
    Path base = Files.createDirectory(temp.resolve("base"));
    Files.copy(golden(name).resolve(ModelStore.WEIGHTS), base.resolve(ModelStore.WEIGHTS));
    Files.writeString(base.resolve(ModelStore.CONFIG), config);
    for (String file : List.of("tokenizer.json", "generation_config.json", "unrelated.txt")) {
      byte[] bytes = new byte[300];
      new Random(file.hashCode()).nextBytes(bytes);
      Files.write(base.resolve(file), bytes);
    }
    return base;
  }

  private static String config(String name) throws IOException {
    return Files.readString(golden(name).resolve(ModelStore.CONFIG));
  }

  @ParameterizedTest
  @ValueSource(strings = {"tied", "biases"})
  void theTrainerWritesAModelThatComputesTheSame(String name) throws IOException {
    Path base = base(name, config(name));
    Path output = temp.resolve("out");
    float[] expected;
    try (CausalLm model = CausalLm.load(base, LoadOptions.trained(DType.FLOAT32))) {
      List<Example> rows = new ArrayList<>();
      for (int r = 0; r < 6; r++) {
        rows.add(new Example(new int[] {r + 3, r + 4, r + 5}, new int[] {r + 3, r + 4, r + 5}));
      }
      TrainSettings settings =
          new TrainSettings(
              2,
              1,
              4,
              1e-2,
              new Schedule.Constant(0),
              AdamWConfig.DEFAULT,
              1,
              Checkpointing.NONE,
              0,
              2,
              2,
              1,
              7);
      float[] before = logits(model);
      new Trainer(
              model,
              new AllWeights(model),
              new SupervisedFineTuning(),
              settings,
              rows,
              rows,
              List.of())
          .run(new RunPlace(output, base.toString(), "", Map.of()));
      expected = logits(model);
      assertTrue(distance(before, expected) > 1e-2);
    }
    Set<String> files =
        Set.of("config.json", "model.safetensors", "tokenizer.json", "generation_config.json");
    Set<String> all = new HashSet<>(files);
    all.add("checkpoint-4");
    assertEquals(all, listing(output));
    Set<String> checkpoint = new HashSet<>(files);
    checkpoint.addAll(List.of("training_state.safetensors", "trainer_state.json", "manifest.json"));
    assertEquals(checkpoint, listing(output.resolve("checkpoint-4")));
    for (Path written : List.of(output, output.resolve("checkpoint-4"))) {
      for (String same : List.of("config.json", "tokenizer.json", "generation_config.json")) {
        assertArrayEquals(
            Files.readAllBytes(base.resolve(same)), Files.readAllBytes(written.resolve(same)));
      }
      LoadOptions frozen = LoadOptions.unquantized(DType.FLOAT32);
      try (CausalLm loaded = CausalLm.load(written, frozen)) {
        assertArrayEquals(expected, logits(loaded));
      }
    }
    try (SafetensorsFile file = SafetensorsFile.open(output.resolve(ModelStore.WEIGHTS))) {
      assertEquals(name.equals("biases"), file.names().contains("lm_head.weight"));
    }
  }

  @Test
  void aBaseThatIsMovedMeanwhileIsNotMissed() throws IOException {
    Path base = base("tied", config("tied"));
    Path output = temp.resolve("out");
    BaseFiles files = BaseFiles.read(base);
    try (CausalLm model = CausalLm.load(base, LoadOptions.trained(DType.FLOAT32))) {
      Files.move(base, temp.resolve("moved"));
      new AllWeights(model, files).save(output, base.toString());
      InvalidInputException e =
          assertThrows(
              InvalidInputException.class, () -> new AllWeights(model).save(output, base + ""));
      assertTrue(e.getMessage().contains("config.json cannot be read"), e.getMessage());
    }
    for (String same : List.of("config.json", "tokenizer.json", "generation_config.json")) {
      assertArrayEquals(
          Files.readAllBytes(temp.resolve("moved").resolve(same)),
          Files.readAllBytes(output.resolve(same)));
    }
  }

  @Test
  void aBaseInBfloat16IsWrittenInBfloat16() throws IOException {
    Path base =
        base("tied", config("tied").replace("\"dtype\": \"float32\"", "\"dtype\": \"bfloat16\""));
    Path output = temp.resolve("out");
    try (CausalLm model = CausalLm.load(base, LoadOptions.trained(DType.FLOAT32))) {
      new AllWeights(model).save(output, base.toString());
      assertArrayEquals(
          Files.readAllBytes(base.resolve("config.json")),
          Files.readAllBytes(output.resolve("config.json")));
      try (SafetensorsFile file = SafetensorsFile.open(output.resolve(ModelStore.WEIGHTS))) {
        for (Parameter p : model.parameters().orElseThrow().parameters()) {
          float[] written = new float[(int) p.value().numel()];
          file.readFloats(p.name(), 0, written, 0, written.length);
          float[] values = p.value().toFloats();
          for (int i = 0; i < values.length; i++) {
            values[i] = Bfloat16.round(values[i]);
          }
          assertArrayEquals(values, written, p.name());
        }
      }
    }
  }

  /** What a base says of its dtype and head, and what the written model says. */
  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "'\"dtype\": \"float16\"' | '\"dtype\" : \"bfloat16\"'",
        "'\"torch_dtype\": \"float16\"' | '\"torch_dtype\" : \"bfloat16\"'",
        "'\"torch_dtype\": \"float64\"' | '\"torch_dtype\" : \"float32\"'",
        "'\"use_cache\": true' | '\"torch_dtype\" : \"float32\"'",
      })
  void theConfigurationNamesTheDtypeThatWasWritten(String says, String expected)
      throws IOException {
    String config =
        config("tied")
            .replace("\"dtype\": \"float32\",", says + ",")
            .replace("\"use_cache\": true,\n", "")
            .replace(says + ",", says + ", \"rms_norm_eps\": 1.00e-05,")
            .replace("\"rms_norm_eps\": 1e-05,\n", "")
            .replace("\"tie_word_embeddings\": true", "\"tie_word_embeddings\": false");
    Path base = base("tied", config);
    Path output = temp.resolve("out");
    try (CausalLm model = CausalLm.load(base, LoadOptions.trained(DType.FLOAT32))) {
      new AllWeights(model).save(output, base.toString());
    }
    String written = Files.readString(output.resolve("config.json"));
    assertTrue(written.contains(expected), written);
    // no head is stored, so the embedding served as one, and does from now on
    assertTrue(written.contains("\"tie_word_embeddings\" : true"), written);
    CausalLm.load(output, LoadOptions.unquantized(DType.FLOAT32)).close();
  }

  @Test
  void weightsThatAreNotFiniteAreNotSaved() throws IOException {
    Path output = temp.resolve("out");
    try (CausalLm model = load("tied", DType.FLOAT32)) {
      Parameter norm = model.parameters().orElseThrow().get("model.norm.weight");
      norm.value().floats().put(3, Float.NaN);
      InvalidInputException e =
          assertThrows(
              InvalidInputException.class,
              () -> new AllWeights(model).save(output, golden("tied").toString()));
      assertEquals(output + ": not saved, 'model.norm.weight' holds NaN", e.getMessage());
    }
    assertFalse(Files.exists(output));
  }

  @Test
  void aFrozenModelHasNoWeightsToTrain() {
    try (CausalLm model = CausalLm.load(golden("tied"), LoadOptions.unquantized(DType.FLOAT32))) {
      assertTrue(model.parameters().isEmpty());
      assertThrows(IllegalArgumentException.class, () -> new AllWeights(model));
    }
  }
}
