package ai.nibble.recipe;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.Directories;
import ai.nibble.InvalidInputException;
import ai.nibble.TinyChat;
import ai.nibble.plan.Component;
import ai.nibble.plan.KeptLayers;
import ai.nibble.plan.Phase;
import ai.nibble.tensor.Device;
import ai.nibble.tensor.OutOfMemoryException;
import ai.nibble.tensor.OutOfMemoryExceptionTest;
import ai.nibble.tensor.TensorMemory;
import ai.nibble.train.log.StepMetrics;
import ai.nibble.train.log.TrainListener;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The key {@code keep_dequantized_layers}: what it reads, what is planned, and runs with it. */
final class KeptDequantizedTest {
  private static final String KEEP = "keep_dequantized_layers";

  /** Runs with an evaluation, a checkpoint and answers on the way. */
  private static final String RECIPE =
      """
      base_model: chat
      learning_rate: 0.01
      sequence_len: 64
      max_steps: 4
      lora_r: 4
      micro_batch_size: 2
      gradient_accumulation_steps: 2
      max_grad_norm: 0.01
      save_steps: 2
      eval_steps: 2
      val_set_size: 2
      generation_eval: {path: chats.jsonl, type: messages, limit: 2, max_new_tokens: 4}
      device_map: cpu
      report_to: []
      output_dir: out
      """;

  private static final String CHATS = "datasets: [{path: chats.jsonl, type: messages}]\n";
  private static final String PAIRS = "datasets: [{path: pairs.jsonl, type: preference}]\n";

  @TempDir Path temp;
  private final ByteArrayOutputStream said = new ByteArrayOutputStream();
  private final PrintStream out = new PrintStream(said, true, StandardCharsets.UTF_8);

  @BeforeEach
  void writeABase() throws IOException {
    TinyChat.of("llama", Map.of(), temp.resolve("chat"));
    StringBuilder chats = new StringBuilder();
    StringBuilder pairs = new StringBuilder();
    for (int i = 0; i < 12; i++) {
      String asked = "{\"role\": \"user\", \"content\": \"" + "abcdefghijkl".substring(i) + "\"}";
      String answer = "{\"role\": \"assistant\", \"content\": \"" + "mnopqrstuvwx".substring(i);
      chats.append("{\"messages\": [" + asked + ", " + answer + "\"}]}\n");
      pairs.append(
          "{\"prompt\": \"q" + i + "\", \"chosen\": \"a" + i + "\", \"rejected\": \"b\"}\n");
    }
    Files.writeString(temp.resolve("chats.jsonl"), chats.toString());
    Files.writeString(temp.resolve("pairs.jsonl"), pairs.toString());
  }

  private Recipe recipe(String more, String... sets) throws IOException {
    String data = more.contains("method: dpo") ? PAIRS : CHATS;
    Path file = Files.writeString(temp.resolve("a.yaml"), RECIPE + data + more);
    return RecipeLoader.load(file, List.of(sets));
  }

  private RecipePlan plan(String more, String... sets) throws IOException {
    return RecipePlan.read(recipe(more, sets), out, List.of());
  }

  /** What a run leaves, and bytes that tensors took when its second step began. */
  private record Run(
      Map<String, byte[]> files, List<String> metrics, String answers, String told, long held) {
    void assertSame(Run other, String what) {
      files.forEach((name, bytes) -> assertArrayEquals(bytes, other.files.get(name), what + name));
      assertEquals(metrics, other.metrics, what);
      assertEquals(answers, other.answers, what);
    }
  }

  private Run run(String output, String more, String kept) throws IOException {
    Path folder = temp.resolve(output);
    Recipe recipe = recipe(more, "output_dir=" + folder, KEEP + "=" + kept);
    long[] held = {0};
    said.reset();
    RecipeRun run = new RecipeRun(recipe, out, false);
    run.listen(
        new TrainListener() {
          @Override
          public void stepEnded(StepMetrics step) {
            held[0] = step.step() == 1 ? TensorMemory.heldBytes(Device.Type.CPU) : held[0];
          }
        });
    long before = TensorMemory.heldBytes(Device.Type.CPU);
    run.run();
    assertEquals(before, TensorMemory.heldBytes(Device.Type.CPU), "all is given back");
    return new Run(
        Map.of(
            "adapter", Files.readAllBytes(folder.resolve("adapter_model.safetensors")),
            "state", Files.readAllBytes(folder.resolve("checkpoint-2/training_state.safetensors"))),
        metrics(folder.resolve("metrics.jsonl")),
        Files.readString(folder.resolve("answers.jsonl")),
        said.toString(StandardCharsets.UTF_8),
        held[0] - before);
  }

  private static List<String> metrics(Path file) throws IOException {
    List<String> seen = new ArrayList<>();
    for (String line : Files.readAllLines(file)) {
      JsonNode row = JsonMapper.builder().build().readTree(line);
      seen.add(row.path("loss") + " " + row.path("grad_norm") + " " + row.path("eval_loss"));
    }
    return seen;
  }

  /** Bytes of the first layers as they are planned. */
  private long bytes(String more, int layers) throws IOException {
    KeptLayers kept = plan(more, KEEP + "=" + layers).kept();
    assertEquals(layers, kept.layers().size());
    return kept.total();
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "gradient_checkpointing: none\nlora_dropout: 0.1\n",
        "gradient_checkpointing: selective\nlora_dropout: 0.1\nuse_rslora: true\n",
        "gradient_checkpointing: block\nlora_dropout: 0.1\nuse_dora: true\n",
        "gradient_checkpointing: selective\nlora_dropout: 0\nuse_dora: true\n",
        "gradient_checkpointing: partial\nlora_dropout: 0\nuse_dora: true\n",
        "gradient_checkpointing: offload\nbnb_4bit_quant_type: fp4\n",
        "sample_packing: true\ninit_lora_weights: olora\n",
        "adapter: lora\nload_in_8bit: true\ngradient_checkpointing: block\n",
        "bnb_4bit_compute_dtype: float32\nneftune_noise_alpha: 5\n",
        "method: dpo\ngradient_checkpointing: block\nlora_dropout: 0.1\n",
        "method: dpo\ninit_lora_weights: pissa\n",
        "method: dpo\nprecompute_ref_log_probs: true\n",
      })
  void runsHaveTheBitsOfOneThatKeepsNone(String more) throws IOException {
    Run none = run("none", more, "0");
    assertFalse(none.told.contains("dequantised"), none.told);
    Run auto = run("auto", more, "auto"); // none on a CPU
    assertEquals(none.held, auto.held);
    Run one = run("one", more, "1");
    none.assertSame(one, "1 layer: ");
    assertEquals(none.held + bytes(more, 1), one.held);
    assertTrue(one.told.contains("\nmodel.layers.0 keep"), one.told);
    Run all = run("all", more, "all");
    none.assertSame(all, "all layers: ");
    assertTrue(all.held > one.held);
    assertTrue(
        all.told.contains("\nmodel.layers.0 to model.layers.1 keep their weights dequantised: "),
        all.told);
  }

  /** The reference is a frozen copy: B of its own in the columns that the run's adapter has. */
  @ParameterizedTest
  @ValueSource(strings = {"", "use_dora: true\n", "devices: 2\n"})
  void aReferenceThatIsACopyOfTheAdapterHasItsOwnB(String more) throws IOException {
    run("first", "lora_dropout: 0\n" + more, "0");
    String dpo =
        "method: dpo\nlora_model_dir: first\nref_adapter: start\ngradient_checkpointing: partial\n";
    Run none = run("none", dpo + more, "0");
    assertTrue(none.told.contains(" (a frozen copy, "), none.told);
    int workers = more.contains("devices") ? 2 : 1;
    Run one = run("one", dpo + more, "1");
    none.assertSame(one, "1 layer: ");
    assertEquals(none.held + workers * bytes(dpo + more, 1), one.held);
    Run all = run("all", dpo + more, "all"); // nothing is dequantised beside them
    none.assertSame(all, "all layers: ");
    assertTrue(all.held > one.held);
  }

  @Test
  void twoWorkersEachKeepTheirs() throws IOException {
    Run none = run("none", "devices: 2\n", "0");
    Run one = run("one", "devices: 2\n", "1");
    none.assertSame(one, "");
    assertEquals(none.held + 2 * bytes("devices: 2\n", 1), one.held);
    assertTrue(one.told.contains(" of that memory for each worker\n"), one.told);
    RecipePlan plan = plan("devices: 2\n", KEEP + "=1");
    assertEquals(2 * plan.kept().total(), plan.plan().bytes(Phase.TRAIN, Component.KEPT_WEIGHTS));
  }

  @Test
  void layersOnSeveralDevicesKeepTheirs() throws IOException {
    String map =
        "{model.embed_tokens: 'cpu:1', model.layers.0: 'cpu:1', model.layers.1: 'cpu:2',"
            + " model.norm: 'cpu:2', lm_head: 'cpu:2'}";
    String split = "device_map: " + map + "\n";
    String plain = RECIPE;
    Run none = run("none", "", "0");
    Path file =
        Files.writeString(
            temp.resolve("b.yaml"), plain.replace("device_map: cpu\n", split) + CHATS);
    for (String kept : List.of("0", "1", "all")) {
      Path folder = temp.resolve("split" + kept);
      Recipe recipe = RecipeLoader.load(file, List.of("output_dir=" + folder, KEEP + "=" + kept));
      RecipePlan planned = RecipePlan.read(recipe, out, List.of());
      long sum =
          planned.devices().orElseThrow().uses().stream()
              .mapToLong(use -> use.bytes().getOrDefault(Component.KEPT_WEIGHTS, 0L))
              .sum();
      assertEquals(planned.kept().total(), sum);
      assertEquals(kept.equals("all") ? 2 : Integer.parseInt(kept), planned.kept().layers().size());
      new RecipeRun(recipe, out, false).run();
      assertArrayEquals(
          none.files.get("adapter"),
          Files.readAllBytes(folder.resolve("adapter_model.safetensors")));
    }
  }

  /** Nothing that is trained depends on it, so a run may go on with another number. */
  @Test
  void aRunGoesOnWithAnotherNumber() throws IOException {
    Run whole = run("whole", "lora_dropout: 0.1\n", "0");
    Directories.copy(temp.resolve("whole/checkpoint-2"), temp.resolve("cut/checkpoint-2"));
    Run cut = run("cut", "lora_dropout: 0.1\nresume_from_checkpoint: auto\n", "all");
    assertArrayEquals(whole.files.get("adapter"), cut.files.get("adapter"));
  }

  @Test
  void aNumberOrAWordIsRead() throws IOException {
    RecipeFiles files = new RecipeFiles(temp);
    assertEquals(KeptDequantized.AUTO, files.load("").training().keepDequantizedLayers());
    for (String value : List.of("auto", "all", "0", "12")) {
      Recipe recipe = files.load(KEEP + ": " + value + "\n");
      assertEquals(value, recipe.training().keepDequantizedLayers().toString());
      assertEquals(recipe, files.loadText(recipe.resolvedYaml()));
    }
    for (String value : List.of("-1", "1.5", "most", "[0, 1]", "true")) {
      List<String> problems = files.problems(KEEP + ": " + value + "\n");
      assertEquals(1, problems.size(), problems.toString());
      assertTrue(problems.get(0).startsWith("a.yaml:6:26: '" + KEEP + "' is "), problems.get(0));
    }
    assertTrue(
        files.problems(KEEP + ": most\n").get(0).endsWith("auto, all or a number of layers"));
  }

  @Test
  void whatCannotBeKeptIsRefused() throws IOException {
    assertEquals(
        List.of(
            "a.yaml:7:26: 'keep_dequantized_layers' is 'all', but adapter none trains all weights,"
                + " of which none are quantised: remove it"),
        new RecipeFiles(temp).problems("adapter: none\n" + KEEP + ": all\n"));
    String plain = refused("adapter: lora\n", "2");
    assertTrue(
        plain.endsWith(
            "'keep_dequantized_layers' is '2', but no weight of the base is quantised: remove it,"
                + " or set load_in_4bit: true"),
        plain);
    String many = refused("", "3");
    assertTrue(
        many.endsWith(
            "'keep_dequantized_layers' is '3', but the base has 2 layers: set all, or a number up"
                + " to that"),
        many);
    assertEquals(2, plan("", KEEP + "=2").kept().layers().size());
    assertTrue(plan("adapter: lora\n", KEEP + "=0").kept().isEmpty());
  }

  private String refused(String more, String kept) {
    return assertThrows(InvalidInputException.class, () -> plan(more, KEEP + "=" + kept))
        .getMessage();
  }

  private RecipePlan onAGpu(String more, long bytes, String... sets) throws IOException {
    Path file =
        Files.writeString(
            temp.resolve("gpu.yaml"), RECIPE.replace("device_map: cpu\n", "") + CHATS + more);
    return RecipePlan.read(RecipeLoader.load(file, List.of(sets)), out, List.of(bytes));
  }

  /** As many as fit beside the way of checkpointing that would be taken without any. */
  @Test
  void aGpuKeepsWhatItHasRoomFor() throws IOException {
    RecipePlan large = onAGpu("", 80L << 30);
    assertEquals(List.of(0, 1), large.kept().layers());
    assertEquals("none", RecipePlan.word(large.checkpointing()));
    long each = large.kept().bytes().get(0);
    long none = large.plans().get(large.checkpointing()).peak();
    assertEquals(none + 2 * each, large.plan().peak());
    RecipePlan one = onAGpu("", Math.round(1.1 * (none + 1.5 * each)));
    assertEquals(List.of(0), one.kept().layers());
    assertEquals("none", RecipePlan.word(one.checkpointing()));
    assertTrue(one.fits());
    assertEquals(
        each, one.plan().bytes(Phase.TRAIN, Component.KEPT_WEIGHTS), "on one line of the plan");
    assertTrue(onAGpu("", Math.round(1.1 * (none + 0.5 * each))).kept().isEmpty());
    assertTrue(onAGpu("adapter: lora\n", 80L << 30).kept().isEmpty(), "nothing is quantised");
    assertTrue(onAGpu("", 80L << 30, KEEP + "=0").kept().isEmpty());
  }

  /** A number is taken as it is: the plan says that it does not fit, and what would. */
  @Test
  void aNumberThatDoesNotFitIsSaidWithWhatWould() throws IOException {
    RecipePlan none = onAGpu("gradient_checkpointing: block\n", 80L << 30, KEEP + "=0");
    RecipePlan all = onAGpu("gradient_checkpointing: block\n", 80L << 30, KEEP + "=all");
    assertEquals(none.plan().peak() + all.kept().total(), all.plan().peak());
    assertTrue(all.alternatives().isEmpty());
    long between = Math.round(1.1 * (none.plan().peak() + 0.5 * all.kept().total()));
    RecipePlan little = onAGpu("gradient_checkpointing: block\n", between, KEEP + "=all");
    assertFalse(little.fits());
    assertEquals(
        new RecipePlan.Alternative("keep_dequantized_layers: 0 (block)", none.plan().peak(), true),
        little.alternatives().get(0));
    String shortage = little.shortage().orElseThrow();
    assertTrue(shortage.contains(" free: keep_dequantized_layers: 0 (block) needs "), shortage);
  }

  /** The key that gives memory back stands before those that any run has. */
  @Test
  void whereMemoryRunsOutTheKeyIsNamed() throws IOException {
    RecipePlan plan = plan("", KEEP + "=all");
    RecipeRun.Body body =
        () -> {
          throw OutOfMemoryExceptionTest.example().during("step 3", "there is no checkpoint");
        };
    OutOfMemoryException e =
        assertThrows(OutOfMemoryException.class, () -> RecipeRun.inMemory(plan, body));
    assertTrue(
        e.getMessage()
            .matches(
                "step 3: cuda:0 .*; there is no checkpoint; set keep_dequantized_layers: 0, which"
                    + " gives back \\d+ KiB"),
        e.getMessage());
    OutOfMemoryException plain = OutOfMemoryExceptionTest.example();
    assertSame(
        plain,
        assertThrows(
            OutOfMemoryException.class,
            () ->
                RecipeRun.inMemory(
                    plan(""),
                    () -> {
                      throw plain;
                    })));
  }
}
