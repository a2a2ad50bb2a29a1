package ai.nibble.recipe;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertDoesNotThrow;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.Directories;
import ai.nibble.InvalidInputException;
import ai.nibble.TinyChat;
import ai.nibble.WholeDirectory;
import ai.nibble.checkpoint.CheckpointFolder;
import ai.nibble.tensor.Tensor;
import ai.nibble.tensor.Torch;
import ai.nibble.train.TrainingInterruptedException;
import ai.nibble.train.TrainingStoppedException;
import ai.nibble.train.log.StepMetrics;
import ai.nibble.train.log.TrainListener;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.BooleanSupplier;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Which checkpoint a recipe's run goes on from, and what it leaves alone. */
final class GoingOnTest {
  private static final String RECIPE =
      """
      base_model: chat
      datasets: [{path: rows.jsonl, type: text}]
      test_datasets: [{path: test.jsonl, type: text}]
      learning_rate: 0.01
      sequence_len: 64
      micro_batch_size: 2
      max_steps: 6
      lora_r: 2
      lora_target_modules: [q_proj]
      bnb_4bit_compute_dtype: float32
      report_to: []
      output_dir: out
      save_steps: 2
      eval_steps: 2
      """;

  @TempDir Path temp;
  private final int threadsBefore = Torch.threads();
  private String printed;

  @BeforeEach
  void write() throws IOException {
    Torch.setThreads(1); // these products are too small to share
    TinyChat.write(temp.resolve("chat"));
    Files.writeString(temp.resolve("rows.jsonl"), "{\"text\": \"abcabc\"}\n".repeat(5));
    Files.writeString(temp.resolve("test.jsonl"), "{\"text\": \"cab\"}\n".repeat(3));
    Files.writeString(temp.resolve("a.yaml"), RECIPE);
  }

  @AfterEach
  void restoreThreads() {
    Torch.setThreads(threadsBefore);
  }

  private void run(String... sets) {
    run(() -> false, sets);
  }

  private void run(BooleanSupplier stopWhen, String... sets) {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    PrintStream out = new PrintStream(bytes, true, StandardCharsets.UTF_8);
    try {
      RecipeRun run =
          new RecipeRun(RecipeLoader.loadForRun(temp.resolve("a.yaml"), List.of(sets)), out, false);
      run.stopWhen(stopWhen);
      run.run();
    } finally {
      printed = bytes.toString(StandardCharsets.UTF_8);
    }
  }

  private List<String> refused(String... sets) {
    InvalidInputException e = assertThrows(InvalidInputException.class, () -> run(sets));
    return e.problems();
  }

  private byte[] adapter(String output) throws IOException {
    return Files.readAllBytes(temp.resolve(output).resolve("adapter_model.safetensors"));
  }

  @Test
  void anotherRunsHigherCheckpointIsPassedOverAndStays() throws IOException {
    run();
    run("output_dir=" + temp.resolve("other"), "seed=7", "max_steps=8");
    byte[] whole = adapter("out");
    Path foreign = temp.resolve("out/checkpoint-8");
    Directories.copy(temp.resolve("other/checkpoint-8"), foreign);
    WholeDirectory.delete(temp.resolve("out/checkpoint-6"));
    Files.delete(temp.resolve("out/adapter_model.safetensors"));
    run("resume_from_checkpoint=auto", "save_total_limit=1");
    assertTrue(
        printed.contains(
            "checkpoint-8 is passed over, it is of another run: 'max_steps' was 8, is 6"),
        printed);
    assertTrue(printed.contains("going on from " + temp.resolve("out/checkpoint-4")), printed);
    assertEquals(List.of(8, 6), CheckpointFolder.steps(temp.resolve("out")));
    assertArrayEquals(whole, adapter("out"));
  }

  @Test
  void changesThatLaterCheckpointsDoNotHaveAreRefused() throws IOException {
    run();
    byte[] before = adapter("out");
    String from = "resume_from_checkpoint=" + temp.resolve("out/checkpoint-2");
    List<String> problems = refused(from, "resume_with_changes=true", "learning_rate=0.02");
    assertEquals(
        List.of(
            temp.resolve("out")
                + ": has a checkpoint-6 without these changes, which a later"
                + " resume_from_checkpoint: auto would take: move it away, or choose another"
                + " output_dir"),
        problems);
    assertArrayEquals(before, adapter("out"));
    run(
        from,
        "resume_with_changes=true",
        "learning_rate=0.02",
        "output_dir=" + temp.resolve("changed"));
    assertTrue(printed.contains("resume_with_changes: 'learning_rate' was 0.01, is 0.02"), printed);
  }

  /** The directory that it is gone on from must not be cleared for the new run. */
  @Test
  void aCheckpointThatIsNamedByALinkIsNotClearedAway() throws IOException {
    run();
    byte[] whole = adapter("out");
    Path link = Files.createSymbolicLink(temp.resolve("link"), temp.resolve("out"));
    WholeDirectory.delete(temp.resolve("out/checkpoint-6"));
    run("resume_from_checkpoint=" + link.resolve("checkpoint-2"));
    assertEquals(List.of(6, 4, 2), CheckpointFolder.steps(temp.resolve("out")));
    assertArrayEquals(whole, adapter("out"));
  }

  @Test
  void whereEvaluationsDecideTheirRowsAndTimesMustBeTheSame() throws IOException {
    String[] best = {"load_best_model_at_end=true", "resume_from_checkpoint=auto"};
    run(best);
    Files.writeString(temp.resolve("test.jsonl"), "{\"text\": \"bca\"}\n");
    List<String> problems = refused(best[0], best[1], "eval_steps=1");
    assertEquals(2, problems.size(), problems.toString());
    assertTrue(problems.get(0).contains("'eval_steps' was 2, is 1"), problems.get(0));
    assertFalse(printed.contains("rows.jsonl"), "before rows are encoded: " + printed);
    problems = refused(best);
    assertEquals(2, problems.size(), problems.toString());
    assertTrue(problems.get(0).contains("'evaluation rows' was 3 rows"), problems.get(0));
    run("resume_from_checkpoint=auto", "output_dir=" + temp.resolve("plain"), "eval_steps=2");
    run("resume_from_checkpoint=auto", "output_dir=" + temp.resolve("plain"), "eval_steps=1");
  }

  @Test
  void askedToStopBeforeTheFirstStepItTrainsNothingAndKeepsNoMemory() {
    long live = Tensor.live();
    for (int polls = 0; polls < 11; polls++) {
      AtomicInteger left = new AtomicInteger(polls);
      TrainingInterruptedException e =
          assertThrows(
              TrainingInterruptedException.class,
              () -> run(() -> left.getAndDecrement() <= 0, "dataset_prepared_path=none"),
              "at poll " + polls);
      String expected = polls < 8 ? "reading rows" : polls < 10 ? "loading weights" : "answering";
      assertTrue(e.getMessage().contains(expected), polls + ": " + e.getMessage());
      assertTrue(e.getMessage().endsWith("before any step"), e.getMessage());
      assertEquals(live, Tensor.live());
    }
  }

  @Test
  void aSecondRunIsRefusedAndALockThatIsLeftIsNot() throws IOException {
    Path output = temp.resolve("out");
    OutputLock lock = OutputLock.take(output);
    List<String> problems = refused();
    assertEquals(1, problems.size());
    assertTrue(
        problems
            .get(0)
            .matches(
                ".*out', where another run is at work \\(process "
                    + ProcessHandle.current().pid()
                    + " on \\S+ since \\S+Z\\): wait for it, or choose another directory"),
        problems.get(0));
    assertFalse(Files.exists(output.resolve("recipe.yaml")));
    assertFalse(printed.contains("rows.jsonl"), "before rows are encoded: " + printed);
    lock.close();
    Files.createDirectories(output);
    Files.writeString(output.resolve(OutputLock.NAME), "process 99999999 on gone since 2020\n");
    run();
    assertTrue(Files.exists(output.resolve("adapter_model.safetensors")));
    assertFalse(Files.exists(output.resolve(OutputLock.NAME)));
  }

  @Test
  void aDirectoryThatIsMovedAwayMeanwhileIsMadeAnewAsTheRunsOwn() throws IOException {
    Path output = temp.resolve("out");
    Path moved = temp.resolve("moved");
    List<String> refusals = new ArrayList<>();
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    RecipeRun run =
        new RecipeRun(
            RecipeLoader.loadForRun(temp.resolve("a.yaml"), List.of("report_to=[tensorboard]")),
            new PrintStream(bytes, true, StandardCharsets.UTF_8),
            false);
    run.listen(
        new TrainListener() {
          @Override
          public void stepEnded(StepMetrics metrics) {
            if (metrics.step() == 3) {
              assertDoesNotThrow(() -> Files.move(output, moved));
            }
            if (metrics.step() == 5) {
              refusals.addAll(refused("resume_from_checkpoint=auto"));
            }
          }
        });
    run.run();
    assertEquals(1, refusals.size(), refusals.toString());
    assertTrue(refusals.get(0).contains("where another run is at work"), refusals.get(0));
    assertEquals(List.of("checkpoint-2"), checkpoints(moved));
    assertEquals(List.of("checkpoint-4", "checkpoint-6"), checkpoints(output));
    assertEquals(
        List.of("\"step\":1", "\"step\":2", "\"step\":2", "\"step\":3", "\"step\":4", "\"step\":4"),
        steps(moved));
    assertEquals(List.of("\"step\":4", "\"step\":5", "\"step\":6", "\"step\":6"), steps(output));
    String first = Files.readAllLines(output.resolve("metrics.jsonl")).get(0);
    assertTrue(first.contains("was moved or removed: it is made anew"), first);
    for (Path directory : List.of(moved, output)) {
      assertTrue(Files.exists(directory.resolve("recipe.yaml")), directory.toString());
      try (Stream<Path> events = Files.list(directory.resolve("runs"))) {
        assertEquals(1, events.count(), directory.toString());
      }
    }
    assertFalse(Files.exists(output.resolve(OutputLock.NAME)));
    run("resume_from_checkpoint=auto");
    assertTrue(printed.contains("already finished"), printed);
  }

  @Test
  void nothingIsWrittenToADirectoryThatHasTakenTheName() throws IOException {
    Path output = temp.resolve("out");
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    PrintStream out = new PrintStream(bytes, true, StandardCharsets.UTF_8);
    RecipeRun run =
        new RecipeRun(RecipeLoader.loadForRun(temp.resolve("a.yaml"), List.of()), out, 0);
    run.listen(
        new TrainListener() {
          @Override
          public void stepEnded(StepMetrics metrics) {
            if (metrics.step() == 3) {
              Directories.replace(output, temp.resolve("moved"));
              assertDoesNotThrow(() -> Files.writeString(output.resolve("run.json"), "another's"));
            }
          }
        });
    TrainingStoppedException e = assertThrows(TrainingStoppedException.class, run::run);
    try (Stream<Path> entries = Files.list(output)) {
      assertEquals(List.of(output.resolve("run.json")), entries.toList());
    }
    assertEquals("another's", Files.readString(output.resolve("run.json")));
    assertTrue(bytes.toString(StandardCharsets.UTF_8).contains("report.html is not made"));
    Matcher elsewhere =
        Pattern.compile("what was trained is in (\\S+) instead").matcher(e.getMessage());
    assertTrue(elsewhere.find(), e.getMessage());
    WholeDirectory.delete(Path.of(elsewhere.group(1)));
  }

  /** In the words of the run that they are asked about. */
  @Test
  void planAndInspectRefuseChangedSettings() {
    run();
    List<String> sets = List.of("resume_from_checkpoint=auto", "learning_rate=0.02");
    List<String> problems = refused(sets.toArray(String[]::new));
    assertTrue(problems.get(0).contains("'learning_rate' was 0.01, is 0.02"), problems.get(0));
    Recipe changed = RecipeLoader.loadForRun(temp.resolve("a.yaml"), sets);
    InvalidInputException plan =
        assertThrows(
            InvalidInputException.class, () -> RecipePlan.read(changed, System.out, List.of()));
    assertEquals(problems, plan.problems());
    InvalidInputException inspect =
        assertThrows(InvalidInputException.class, () -> Inspection.of(changed, 1));
    assertEquals(problems, inspect.problems());
  }

  private static List<String> checkpoints(Path directory) throws IOException {
    try (Stream<Path> entries = Files.list(directory)) {
      return entries
          .map(path -> path.getFileName().toString())
          .filter(name -> name.startsWith("checkpoint-"))
          .sorted()
          .toList();
    }
  }

  /** The steps that the lines of metrics are of. */
  private static List<String> steps(Path directory) throws IOException {
    return Files.readAllLines(directory.resolve("metrics.jsonl")).stream()
        .map(line -> line.substring(1, line.indexOf(',')))
        .toList();
  }

  @Test
  void conversationsWithoutATemplateAreRefused() throws IOException {
    Files.delete(temp.resolve("chat/chat_template.jinja"));
    Files.writeString(
        temp.resolve("rows.jsonl"),
        "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"},"
            + " {\"role\": \"assistant\", \"content\": \"b\"}]}\n");
    List<String> problems = refused("datasets.0.type=messages");
    assertEquals(1, problems.size());
    assertTrue(problems.get(0).contains("has no chat template"), problems.get(0));
    assertTrue(problems.get(0).endsWith("or train on text rows"), problems.get(0));
  }

  /** Rows are read before anything is written: the next run begins as if this one had not been. */
  @Test
  void aBadRowIsNamedAndLeavesNothingBehind() throws IOException {
    Files.writeString(
        temp.resolve("rows.jsonl"), "{\"text\": \"abc\"}\n{\"text\": 3}\n{\"text\": \"abc\"}\n");
    List<String> problems = refused();
    assertEquals(1, problems.size());
    assertTrue(problems.get(0).contains("rows.jsonl:2: "), problems.get(0));
    assertFalse(Files.exists(temp.resolve("out")));
  }

  @Test
  void aRankAboveTheWeightsIsRefused() {
    assertEquals(
        List.of(
            "--set lora_r=13: 'lora_r' is 13 for 'model.layers.0.self_attn.q_proj', whose weight has"
                + " only rank 12, and 1 more: lower it, or set others in rank_pattern"),
        refused("lora_r=13"));
  }
}
