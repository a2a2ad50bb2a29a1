package ai.nibble.recipe;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.InvalidInputException;
import ai.nibble.Sha256;
import ai.nibble.TinyChat;
import ai.nibble.plan.DiskPlan;
import ai.nibble.tensor.Torch;
import ai.nibble.train.log.StepMetrics;
import ai.nibble.train.log.TrainListener;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** {@code resume_from_checkpoint: auto} where something lies in the output directory already. */
final class KeptResultsTest {
  private static final String RECIPE =
      """
      base_model: chat
      datasets: [{path: rows.jsonl, type: text}]
      learning_rate: 0.01
      sequence_len: 64
      micro_batch_size: 2
      max_steps: 4
      lora_r: 2
      lora_target_modules: [q_proj]
      bnb_4bit_compute_dtype: float32
      report_to: []
      output_dir: out
      dataset_prepared_path: none
      resume_from_checkpoint: auto
      """;

  private static final String WAYS_OUT =
      ": choose another output_dir, or set overwrite_output_dir: true to delete what is there";

  @TempDir Path temp;
  private final int threadsBefore = Torch.threads();
  private Path output;
  private String printed;

  @BeforeEach
  void write() throws IOException {
    Torch.setThreads(1); // these products are too small to share
    output = temp.resolve("out");
    TinyChat.write(temp.resolve("chat"));
    Files.writeString(temp.resolve("rows.jsonl"), "{\"text\": \"abcabc\"}\n".repeat(5));
    Files.writeString(temp.resolve("a.yaml"), RECIPE);
  }

  @AfterEach
  void restoreThreads() {
    Torch.setThreads(threadsBefore);
  }

  /** Steps that were trained. */
  private List<Integer> run(String... sets) {
    return run(0, sets);
  }

  /**
   * @param failing the step after which the run ends as if it were killed; 0: none
   */
  private List<Integer> run(int failing, String... sets) {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    PrintStream out = new PrintStream(bytes, true, StandardCharsets.UTF_8);
    List<Integer> steps = new ArrayList<>();
    try {
      RecipeRun run =
          new RecipeRun(RecipeLoader.loadForRun(temp.resolve("a.yaml"), List.of(sets)), out, false);
      run.listen(
          new TrainListener() {
            @Override
            public void stepEnded(StepMetrics metrics) {
              steps.add(metrics.step());
              if (metrics.step() == failing) {
                throw new IllegalStateException("killed");
              }
            }
          });
      run.run();
      return steps;
    } finally {
      printed = bytes.toString(StandardCharsets.UTF_8);
    }
  }

  private List<String> refused(String... sets) throws IOException {
    Map<String, String> before = tree();
    InvalidInputException e = assertThrows(InvalidInputException.class, () -> run(sets));
    assertEquals(before, tree());
    return e.problems();
  }

  /** Every file of the output directory, with its sum and time. */
  private Map<String, String> tree() throws IOException {
    Map<String, String> files = new TreeMap<>();
    try (Stream<Path> all = Files.walk(output)) {
      for (Path file : all.filter(Files::isRegularFile).toList()) {
        String state = Sha256.of(file) + " " + Files.getLastModifiedTime(file);
        files.put(output.relativize(file).toString(), state);
      }
    }
    return files;
  }

  private String held(String what) {
    return "'output_dir' is '" + output + "', which holds " + what + WAYS_OUT;
  }

  private static void flip(Path file) throws IOException {
    byte[] bytes = Files.readAllBytes(file);
    bytes[bytes.length - 1] ^= 1;
    Files.write(file, bytes);
  }

  @ParameterizedTest
  @ValueSource(strings = {"save_steps=null", "save_steps=2"})
  void aRunThatIsFinishedIsLeftAsItIs(String saves) throws IOException {
    assertEquals(List.of(1, 2, 3, 4), run(saves));
    Map<String, String> before = tree();
    assertEquals(List.of(), run(saves, "logging_steps=2"));
    assertTrue(
        printed.contains(
            "already finished: "
                + output.resolve("adapter_model.safetensors")
                + " is this run's result, of step 4; nothing is left to do"),
        printed);
    assertEquals(before, tree());
    assertEquals(List.of(), run(saves, "overwrite_output_dir=true"));
    assertEquals(before, tree());
  }

  @Test
  void theResultOfOtherSettingsIsRefusedBeforeRowsAreRead() throws IOException {
    run();
    String why =
        "'adapter_model.safetensors', which is another run's ('learning_rate' was 0.01, is 0.02;"
            + " 'seed' was 42, is 7), and no checkpoint to go on from";
    assertEquals(List.of(held(why)), refused("learning_rate=0.02", "seed=7"));
    assertFalse(printed.contains("rows.jsonl"), printed);
    List<String> problems = refused("learning_rate=0.02", "resume_with_changes=true");
    assertTrue(problems.get(0).contains("'learning_rate' was 0.01, is 0.02"), problems.get(0));
  }

  @Test
  void theResultOfAnotherBaseOrOtherRowsIsRefused() throws IOException {
    run();
    Path base = temp.resolve("chat/model.safetensors");
    flip(base);
    List<String> problems = refused();
    assertEquals(1, problems.size(), problems.toString());
    String expected = "another run's ('model.safetensors of base_model' was ";
    assertTrue(problems.get(0).contains(expected), problems.get(0));
    flip(base);
    Files.writeString(temp.resolve("rows.jsonl"), "{\"text\": \"cba\"}\n");
    problems = refused();
    assertEquals(1, problems.size(), problems.toString());
    assertTrue(problems.get(0).contains("('training rows' was 5 rows"), problems.get(0));
    assertEquals(List.of(1, 2, 3, 4), run("overwrite_output_dir=true"));
  }

  @Test
  void aResultThatDoesNotSayWhoseItIsOrIsDamagedIsRefused() throws IOException {
    run();
    Path weights = output.resolve("adapter_model.safetensors");
    flip(weights);
    List<String> problems = refused();
    assertEquals(1, problems.size(), problems.toString());
    assertTrue(problems.get(0).contains("which has another SHA-256, expected "), problems.get(0));
    flip(weights);
    Files.delete(output.resolve("provenance.json"));
    problems = refused();
    assertEquals(1, problems.size(), problems.toString());
    String expected = "'adapter_model.safetensors', which is not known to be this run's (";
    assertTrue(problems.get(0).contains(expected), problems.get(0));
  }

  @Test
  void aRunThatEndedBeforeItsFirstCheckpointBeginsAnew() throws IOException {
    assertThrows(IllegalStateException.class, () -> run(2));
    assertTrue(Files.exists(output.resolve("metrics.jsonl")));
    Files.writeString(output.resolve(OutputLock.NAME), "process 99999999 on gone since 2020\n");
    assertEquals(List.of(1, 2, 3, 4), run());
    assertEquals(4, Files.readAllLines(output.resolve("metrics.jsonl")).size());
  }

  @Test
  void checkpointsOfWhichNoneIsWholeAreNamedAndStay() throws IOException {
    assertThrows(IllegalStateException.class, () -> run(4, "save_steps=1"));
    for (int step = 1; step <= 2; step++) {
      flip(output.resolve("checkpoint-" + step + "/training_state.safetensors"));
    }
    Files.delete(output.resolve("checkpoint-3/manifest.json"));
    List<String> problems = refused("save_steps=1");
    assertEquals(4, problems.size(), problems.toString());
    assertTrue(
        problems.get(0).matches(".*: checkpoint-3 is passed over: .*manifest.json is missi.*"));
    assertTrue(problems.get(1).contains(": checkpoint-2 is passed over: "), problems.get(1));
    assertTrue(problems.get(1).contains("training_state.safetensors has another SHA-256"));
    assertTrue(problems.get(2).contains(": checkpoint-1 is passed over: "), problems.get(2));
    String names = "checkpoint-3, checkpoint-2, checkpoint-1, of which none is whole";
    assertEquals(held(names), problems.get(3));
    assertEquals(List.of(1, 2, 3, 4), run("save_steps=1", "overwrite_output_dir=true"));
  }

  @Test
  void aDirectoryThatIsNotEmptyNamesWhatLosesNothingFirst() throws IOException {
    assertThrows(IllegalStateException.class, () -> run(4, "save_steps=2"));
    String problem = refused("resume_from_checkpoint=null").get(0);
    assertTrue(
        problem.endsWith(
            "which is not empty, expected a new or empty directory: set resume_from_checkpoint:"
                + " auto to go on from checkpoint-2, choose another, or set overwrite_output_dir:"
                + " true"),
        problem);
    Files.delete(output.resolve("checkpoint-2/manifest.json"));
    problem = refused("resume_from_checkpoint=null").get(0);
    assertFalse(problem.contains("resume_from_checkpoint"), problem);
  }

  @Test
  void aRunThatTheDiskHasNoRoomForIsRefusedBeforeWeightsAreRead() throws IOException {
    Files.createDirectories(output);
    List<String> problems = refused("save_steps=1", "max_steps=1000000000");
    assertEquals(1, problems.size(), problems.toString());
    assertTrue(problems.get(0).matches(".*a.yaml:11:13: 'output_dir' is '.*"), problems.get(0));
    assertTrue(problems.get(0).contains("free: 1000000000 checkpoints of "), problems.get(0));
    assertTrue(
        problems.get(0).contains("or set save_total_limit: 1, which needs "), problems.get(0));
    assertFalse(printed.contains("2 layers"), printed);
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "optimizer=adamw",
        "optimizer=adamw_8bit",
        "optimizer=lion",
        "use_dora=true",
        "init_lora_weights=pissa"
      })
  void whatIsWrittenIsWhatWasPlanned(String setting) throws IOException {
    String[] sets = {"save_steps=4", "lora_r=8", "lora_target_modules=all-linear", setting};
    Recipe recipe = RecipeLoader.load(temp.resolve("a.yaml"), List.of(sets));
    PrintStream nowhere = new PrintStream(PrintStream.nullOutputStream());
    DiskPlan disk = RecipePlan.read(recipe, nowhere, List.of()).disk();
    run(sets);
    assertEquals(1, disk.atOnce());
    assertEquals(disk.result(), dataBytes(output.resolve("adapter_model.safetensors")));
    Path checkpoint = output.resolve("checkpoint-4");
    long adapter = dataBytes(checkpoint.resolve("adapter_model.safetensors"));
    long state = dataBytes(checkpoint.resolve("training_state.safetensors"));
    // tensors as small as these are not quantised: two absmax a block of 256 values are planned
    long absmax =
        setting.endsWith("_8bit") ? disk.result() / Float.BYTES * 2 * Float.BYTES / 256 : 0;
    assertEquals(disk.checkpoint(), adapter + state + absmax);
  }

  /** A safetensors file without its header, whose length is its first eight bytes. */
  private static long dataBytes(Path file) throws IOException {
    ByteBuffer bytes = ByteBuffer.wrap(Files.readAllBytes(file)).order(ByteOrder.LITTLE_ENDIAN);
    return bytes.capacity() - Long.BYTES - bytes.getLong(0);
  }

  @Test
  void whatNoRunLeftIsRefusedAndStays() throws IOException {
    Files.createDirectories(output);
    Files.writeString(output.resolve("notes.txt"), "mine");
    assertEquals(List.of(held("'notes.txt', which no run of a recipe left")), refused());
  }

  @Test
  void aCheckpointElsewhereIsNotGoneOnFromOverAnotherResult() throws IOException {
    run("save_steps=2", "output_dir=" + temp.resolve("first"));
    run("learning_rate=0.02");
    String from = "resume_from_checkpoint=" + temp.resolve("first/checkpoint-2");
    List<String> problems = refused(from);
    assertEquals(1, problems.size(), problems.toString());
    assertTrue(problems.get(0).contains("'learning_rate' was 0.02, is 0.01"), problems.get(0));
    assertEquals(List.of(3, 4), run(from, "overwrite_output_dir=true"));
  }

  @Test
  void aCheckpointOfAnotherBaseIsRefused() throws IOException {
    assertThrows(IllegalStateException.class, () -> run(4, "save_steps=2"));
    flip(temp.resolve("chat/model.safetensors"));
    List<String> problems = refused("save_steps=2");
    assertEquals(2, problems.size(), problems.toString());
    String expected = "checkpoint-2: 'model.safetensors of base_model' was ";
    assertTrue(problems.get(0).contains(expected), problems.get(0));
    Map<String, String> before = tree();
    assertEquals(List.of(3, 4), run("save_steps=2", "resume_with_changes=true"));
    assertNotEquals(before, tree());
  }
}
