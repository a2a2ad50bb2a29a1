package ai.nibble.golden;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.InvalidInputException;
import ai.nibble.Shared;
import ai.nibble.TestDevice;
import ai.nibble.data.Batch;
import ai.nibble.lora.AdapterExtras;
import ai.nibble.lora.AdapterStore;
import ai.nibble.lora.LoraAdapter;
import ai.nibble.lora.LoraConfig;
import ai.nibble.model.CausalLm;
import ai.nibble.model.Checkpointing;
import ai.nibble.model.LoadOptions;
import ai.nibble.optim.AdamW;
import ai.nibble.optim.AdamWConfig;
import ai.nibble.optim.ParameterRange;
import ai.nibble.optim.Schedule;
import ai.nibble.quant.Quant4Config;
import ai.nibble.quant.Quant4Type;
import ai.nibble.quant.QuantConfig;
import ai.nibble.safetensors.SafetensorsFile;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Tensor;
import ai.nibble.train.TrainStep;
import ai.nibble.train.objective.SupervisedFineTuning;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.FloatBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Sweeps the golden values of the reference stack: models, adapters, training runs. */
@Tag("golden")
class GoldenModelTest {
  private static final ObjectMapper JSON = new ObjectMapper();

  private static final Set<String> MODELS =
      Set.of(
          "gemma2",
          "gemma3",
          "llama",
          "llama_plain",
          "llama_yarn",
          "mistral",
          "mixtral",
          "phi3",
          "qwen2",
          "qwen3",
          "qwen3_moe");

  private static final Set<String> ADAPTERS =
      Set.of(
          "gemma3_plain",
          "llama_bias_none_qv",
          "llama_dora",
          "llama_layers",
          "llama_modules_to_save",
          "llama_plain",
          "llama_rank_pattern",
          "llama_regex",
          "llama_rslora",
          "phi3_phi",
          "qwen3_plain");

  private static final Set<String> TRAINING_RUNS =
      Set.of(
          "gemma3_nf4",
          "llama_dora_fp32",
          "llama_fp32",
          "llama_nf4",
          "llama_plain_nf4dq",
          "llama_plain_rslora_nf4",
          "qwen3_nf4");

  @TempDir Path temp;
  private long liveBefore;
  private final List<String> checked = new ArrayList<>();
  private final List<String> unsupported = new ArrayList<>();
  private final Map<String, String> contradicted = new TreeMap<>();

  @BeforeEach
  void countTensors() {
    liveBefore = Tensor.live();
  }

  @AfterEach
  void everyTensorIsClosed() {
    assertEquals(liveBefore, Tensor.live());
  }

  /** Runs a case; a model or adapter of a kind that is refused is listed, not counted. */
  private void check(Path folder, Case body) throws IOException {
    String name = folder.getFileName().toString();
    try {
      body.run();
      if (!contradicted.containsKey(name)) {
        checked.add(name);
      }
    } catch (InvalidInputException e) {
      assertTrue(e.getMessage().contains("support"), name + ": " + e.getMessage());
      unsupported.add(name);
    }
  }

  private interface Case {
    void run() throws IOException;
  }

  /**
   * Prints what was done.
   *
   * @param required cases of the shipped folder that must have been compared, be it with values
   *     made anew: those that are listed as unsupported now were supported once
   */
  private void report(String kind, Set<String> required) {
    System.out.printf(
        "golden %s: %d checked %s, %d not supported yet %s%n",
        kind, checked.size(), checked, unsupported.size(), unsupported);
    contradicted.forEach(
        (name, why) ->
            System.out.printf(
                "golden %s: %s is not counted: %s; equal to the reference made anew%s%n",
                kind,
                name,
                why,
                why.equals(Contradicted.AVX512) ? ", and misread alike to the shipped one" : ""));
    assertTrue(!checked.isEmpty(), "no case of " + kind + " was checked");
    if (Shared.fixturesAreShipped()) {
      Set<String> missing = new TreeSet<>(required);
      missing.removeAll(checked);
      contradicted.keySet().stream().filter(c -> !unsupported.contains(c)).forEach(missing::remove);
      assertEquals(Set.of(), missing, kind + " that were not checked; unsupported: " + unsupported);
    }
  }

  private static CausalLm load(Path base, Optional<Quant4Config> quantization) {
    Optional<QuantConfig> held = quantization.map(QuantConfig.class::cast);
    return CausalLm.load(base, new LoadOptions(held, DType.FLOAT32).on(TestDevice.chosen()));
  }

  @Test
  void modelsGiveTheReferencesLogitsAndTokens() throws IOException {
    for (Path folder : Golden.folders(Shared.fixtures("models"))) {
      check(
          folder,
          () -> {
            try (CausalLm model = load(folder, Optional.empty());
                SafetensorsFile golden =
                    SafetensorsFile.open(folder.resolve("golden.safetensors"))) {
              assertEquals(
                  0,
                  Golden.maxLogitError(model, golden, Golden.floats(golden, "logits")),
                  1e-4,
                  folder + "");
              int[] all = Golden.ints(golden, "greedy_24_tokens_from_first_12");
              assertArrayEquals(all, Golden.greedy(model, Arrays.copyOf(all, 12), 24));
              assertArrayEquals(all, Golden.generated(model, Arrays.copyOf(all, 12), 24));
            }
          });
    }
    report("models", MODELS);
  }

  @Test
  void adaptersGiveTheReferencesLogits() throws IOException {
    for (Path folder : Golden.folders(Shared.fixtures("lora"))) {
      check(
          folder,
          () -> {
            String base =
                JSON.readTree(folder.resolve("golden.json").toFile()).get("base_model").asText();
            try (CausalLm model = load(folder.resolve(base).normalize(), Optional.empty());
                LoraAdapter adapter = AdapterStore.load(model, folder);
                SafetensorsFile golden =
                    SafetensorsFile.open(folder.resolve("golden.safetensors"))) {
              float[] expected = expectedLogits(folder, golden, model);
              assertEquals(0, Golden.maxLogitError(model, golden, expected), 1e-4, folder + "");
              adapter.detach();
              assertTrue(Golden.maxLogitError(model, golden, expected) > 1e-2, "does nothing");
            }
          });
    }
    report("adapters", ADAPTERS);
  }

  /** The shipped logits, or for a contradicted case those made anew. */
  private float[] expectedLogits(Path folder, SafetensorsFile golden, CausalLm model) {
    float[] shipped = Golden.floats(golden, "logits");
    if (Golden.maxLogitError(model, golden, shipped) <= 1e-4
        || !isContradicted(folder, "golden.safetensors")) {
      return shipped;
    }
    return Contradicted.floats(folder.getFileName() + ".safetensors", "logits");
  }

  private boolean isContradicted(Path folder, String file) {
    Optional<String> reason = Contradicted.reason(folder.resolve(file));
    reason.ifPresent(why -> contradicted.put(folder.getFileName().toString(), why));
    return reason.isPresent();
  }

  @Test
  void trainingFollowsTheReferencesStepByStep() throws IOException {
    for (Path folder : Golden.folders(Shared.fixtures("train"))) {
      check(folder, () -> train(folder));
    }
    report("training runs", TRAINING_RUNS);
  }

  private void train(Path folder) throws IOException {
    String name = folder.getFileName().toString();
    JsonNode golden = JSON.readTree(folder.resolve("golden.json").toFile());
    Path shipped = folder.resolve("final").resolve(AdapterStore.WEIGHTS);
    Run run = Run.of(golden);
    Path base = folder.resolve(golden.get("base_model").asText()).normalize();
    if (!isContradicted(folder, "golden.json")) {
      train(folder, base, run, run.quantization, golden.get("log"), shipped);
      return;
    }
    JsonNode log = JSON.readTree(Contradicted.anew(name + ".json").toFile()).get("log");
    train(folder, base, run, run.quantization, log, Contradicted.anew(name + ".safetensors"));
    Path misread = Files.createDirectory(temp.resolve(name));
    MisreadBase.write(base, run.quantization.orElseThrow(), misread);
    train(folder, misread, run, Optional.empty(), golden.get("log"), shipped);
  }

  private void train(
      Path folder,
      Path base,
      Run run,
      Optional<Quant4Config> quantization,
      JsonNode log,
      Path finalWeights)
      throws IOException {
    // double-quantised statistics differ by a map entry between bitsandbytes' own backends
    double slack = run.quantization.map(q -> q.doubleQuant() ? 10 : 1).orElse(1);
    try (CausalLm model = load(base, quantization);
        LoraAdapter adapter = AdapterStore.load(model, folder.resolve("initial"));
        SafetensorsFile batches = SafetensorsFile.open(folder.resolve("batches.safetensors"))) {
      for (Checkpointing checkpointing : Checkpointing.values()) {
        float[] initial = adapter.parameters().values().toFloats();
        TrainStep step = step(model, adapter, run, checkpointing);
        for (int s = 0; s < run.steps; s++) {
          JsonNode expected = log.get(s);
          double lr = run.learningRate * run.schedule.multiplier(s);
          assertEquals(expected.get("lr").asDouble(), lr, 1e-12);
          TrainStep.Outcome outcome = step.run(micros(batches, s, run), lr, s);
          String at = folder.getFileName() + " step " + (s + 1);
          assertEquals(expected.get("loss").asDouble(), outcome.loss(), 2e-4 * slack, at);
          double norm = expected.get("grad_norm").asDouble();
          assertEquals(norm, outcome.gradNorm(), 1e-3 * slack * norm, at);
        }
        assertFinal(adapter, finalWeights, 1e-3 * slack);
        adapter.parameters().setValues(FloatBuffer.wrap(initial));
      }
    }
  }

  /** The embedding, the head and both beside adapters, on a base that ties them: see the script. */
  @Test
  void tablesTrainedWholeFollowTheReference() throws IOException {
    Path folder = Shared.fixtures("train").resolve("llama_fp32");
    Path script = Contradicted.anew("modules_to_save.json");
    Run run = Run.of(JSON.readTree(folder.resolve("golden.json").toFile()));
    JsonNode cases = JSON.readTree(script.toFile());
    assertEquals(3, cases.size());
    for (String names : List.of("lm_head", "embed_tokens", "embed_tokens+lm_head")) {
      Path initial = Files.createDirectories(temp.resolve(names));
      copyWithModules(folder.resolve("initial"), initial, List.of(names.split("\\+")));
      try (CausalLm model =
              load(folder.resolve("../../models/llama").normalize(), Optional.empty());
          LoraAdapter adapter = AdapterStore.load(model, initial);
          SafetensorsFile batches = SafetensorsFile.open(folder.resolve("batches.safetensors"))) {
        TrainStep step = step(model, adapter, run, Checkpointing.NONE);
        for (int s = 0; s < run.steps; s++) {
          JsonNode expected = cases.get(names).get(s);
          TrainStep.Outcome outcome =
              step.run(micros(batches, s, run), expected.get("lr").asDouble(), s);
          String at = names + " step " + (s + 1);
          assertEquals(expected.get("loss").asDouble(), outcome.loss(), 2e-4, at);
          double norm = expected.get("grad_norm").asDouble();
          assertEquals(norm, outcome.gradNorm(), 1e-3 * norm, at);
        }
      }
    }
  }

  /** The adapter with the base's own tables as modules that were trained whole. */
  private static void copyWithModules(Path from, Path to, List<String> modules) throws IOException {
    try (CausalLm model =
            load(from.resolve("../../../models/llama").normalize(), Optional.empty());
        LoraAdapter plain = AdapterStore.load(model, from)) {
      float[] values = plain.parameters().values().toFloats();
      LoraConfig config = plain.config().withExtras(AdapterExtras.NONE.withModulesToSave(modules));
      plain.detach();
      try (LoraAdapter adapter = LoraAdapter.inject(model, config, 1)) {
        FloatBuffer all = adapter.parameters().values().floats();
        all.put(0, values); // A and B come first
        adapter.saveUnfinished(to, "base");
      }
    }
  }

  private static TrainStep step(
      CausalLm model, LoraAdapter adapter, Run run, Checkpointing checkpointing) {
    return new TrainStep(
        model,
        adapter,
        new SupervisedFineTuning(),
        AdamW.over(
            adapter.parameters(),
            run.adamW,
            ParameterRange.decayingMatrices(adapter.parameters(), run.adamW.weightDecay())),
        run.maxGradNorm,
        checkpointing);
  }

  private static List<Batch> micros(SafetensorsFile batches, int step, Run run) {
    List<Batch> micros = new ArrayList<>();
    for (int m = 0; m < run.accumulation; m++) {
      micros.add(Golden.batch(batches, "step" + step + "_micro" + m));
    }
    return micros;
  }

  private static void assertFinal(LoraAdapter adapter, Path expected, double tolerance) {
    try (SafetensorsFile file = SafetensorsFile.open(expected)) {
      assertEquals(file.names().size(), adapter.parameters().parameters().size());
      for (var parameter : adapter.parameters().parameters()) {
        float[] theirs = Golden.floats(file, parameter.name());
        float[] ours = parameter.value().toFloats();
        double difference = 0;
        double norm = 0;
        for (int i = 0; i < theirs.length; i++) {
          difference += Math.pow(theirs[i] - ours[i], 2);
          norm += Math.pow(theirs[i], 2);
        }
        assertEquals(0, Math.sqrt(difference / norm), tolerance, parameter.name());
      }
    }
  }

  /** The settings that golden.json states in words. */
  private record Run(
      Optional<Quant4Config> quantization,
      AdamWConfig adamW,
      double learningRate,
      Schedule schedule,
      int steps,
      int accumulation,
      double maxGradNorm) {
    static Run of(JsonNode golden) {
      Matcher base =
          find(
              golden,
              "base",
              "fp32|(nf4|fp4), block (\\d+), double quant (True|False), fp32 compute");
      Optional<Quant4Config> quantization =
          base.group(1) == null
              ? Optional.empty()
              : Optional.of(
                  new Quant4Config(
                      base.group(1).equals("nf4") ? Quant4Type.NF4 : Quant4Type.FP4,
                      Integer.parseInt(base.group(2)),
                      base.group(3).equals("True")));
      Matcher o =
          find(
              golden,
              "optimizer",
              "AdamW lr (\\S+) betas (\\S+) (\\S+) eps (\\S+) weight_decay (\\S+)");
      AdamWConfig adamW = new AdamWConfig(number(o, 2), number(o, 3), number(o, 4), number(o, 5));
      Matcher s = find(golden, "schedule", "(\\w+), (\\d+) warm-up steps, (\\d+) steps");
      int warmup = (int) number(s, 2);
      int steps = (int) number(s, 3);
      Schedule schedule =
          switch (s.group(1)) {
            case "cosine" -> new Schedule.Cosine(warmup, steps);
            case "linear" -> new Schedule.Linear(warmup, steps);
            case "constant" -> new Schedule.Constant(warmup);
            default -> throw new InvalidInputException("schedule not supported: " + s.group());
          };
      return new Run(
          quantization,
          adamW,
          number(o, 1),
          schedule,
          steps,
          golden.get("gradient_accumulation").asInt(),
          golden.get("max_grad_norm").asDouble());
    }

    private static double number(Matcher matcher, int group) {
      return Double.parseDouble(matcher.group(group));
    }

    private static Matcher find(JsonNode golden, String key, String pattern) {
      Matcher matcher = Pattern.compile(pattern).matcher(golden.get(key).asText());
      assertTrue(matcher.matches(), key + ": " + golden.get(key));
      return matcher;
    }
  }
}
