package ai.nibble.recipe;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.InvalidInputException;
import ai.nibble.TinyChat;
import ai.nibble.checkpoint.SavedCheckpoint;
import ai.nibble.data.Example;
import ai.nibble.train.TrainingInterruptedException;
import ai.nibble.train.log.StepMetrics;
import ai.nibble.train.log.TrainListener;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** From the files that a recipe names to the rows that a run draws. */
class RowsOfARecipeTest {
  private static final String RECIPE =
      """
      base_model: model
      adapter: lora
      load_in_4bit: false
      lora_r: 4
      device_map: cpu
      sequence_len: 64
      learning_rate: 0.01
      output_dir: out
      report_to: none
      dataset_prepared_path: prepared
      """;

  @TempDir private Path temp;
  private final ByteArrayOutputStream printed = new ByteArrayOutputStream();
  private final PrintStream out = new PrintStream(printed, true, StandardCharsets.UTF_8);

  @BeforeEach
  void writeFiles() throws IOException {
    TinyChat.write(Files.createDirectory(temp.resolve("model")));
    rows("a.jsonl", 0, 10);
    rows("b.jsonl", 100, 8);
  }

  private void rows(String name, int from, int count) throws IOException {
    StringBuilder text = new StringBuilder();
    for (int i = from; i < from + count; i++) {
      text.append("{\"text\": \"row ").append(i).append("\"}\n");
    }
    Path file = temp.resolve(name);
    Files.createDirectories(file.getParent());
    Files.writeString(file, text);
  }

  private Recipe recipe(String more, String... sets) throws IOException {
    Path file = Files.writeString(temp.resolve("a.yaml"), RECIPE + more);
    return RecipeLoader.load(file, List.of(sets));
  }

  private RecipeRows read(String more, String... sets) throws IOException {
    printed.reset();
    return RecipeRows.read(recipe(more, sets), out);
  }

  private String console() {
    return printed.toString(StandardCharsets.UTF_8).replace(temp + "/", "");
  }

  private String refusal(String more, String... sets) {
    return assertThrows(InvalidInputException.class, () -> read(more, sets).close())
        .getMessage()
        .replace(temp + "/", "");
  }

  private static String text(Example example) {
    StringBuilder text = new StringBuilder();
    Arrays.stream(example.inputIds()).filter(id -> id < 256).forEach(id -> text.append((char) id));
    return text.toString();
  }

  private static Map<String, String> identity(Recipe recipe, RecipeRows rows) {
    try (InputSums sums = InputSums.start(recipe)) {
      return new RunIdentity(recipe, rows, sums).values();
    }
  }

  /** A byte anywhere: a base that was trained on since differs in some of its tensors only. */
  @Test
  void aBaseThatDiffersInOneByteIsAnotherBase() throws IOException {
    byte[] weights = new byte[4 << 20];
    Path file = Files.write(temp.resolve("model/model.safetensors"), weights);
    Recipe recipe = recipe("datasets: [{path: a.jsonl, type: text}]\n");
    try (RecipeRows rows = RecipeRows.read(recipe, out)) {
      Map<String, String> before = identity(recipe, rows);
      for (int at : new int[] {0, 40_000, weights.length - 1}) {
        weights[at] = 1;
        Files.write(file, weights);
        List<String> differences = SavedCheckpoint.differences(before, identity(recipe, rows));
        assertEquals(1, differences.size(), differences.toString());
        String expected = "'model.safetensors of base_model' was ";
        assertTrue(differences.get(0).startsWith(expected), differences.get(0));
        weights[at] = 0;
      }
      Files.write(file, weights);
      assertEquals(before, identity(recipe, rows));
    }
  }

  @Test
  void whatWasEncodedIsReadTheNextTimeWhereverTheFileIs() throws IOException {
    String sets = "datasets: [{path: a.jsonl, type: text}]\n";
    try (RecipeRows rows = read(sets)) {
      assertEquals(10, rows.train().size());
    }
    assertTrue(console().contains("a.jsonl: encoded in "), console());
    assertTrue(console().contains("a.jsonl: encoded rows kept in prepared/"), console());
    Files.move(temp.resolve("a.jsonl"), temp.resolve("c.jsonl"));
    try (RecipeRows rows = read(sets.replace("a.jsonl", "c.jsonl"))) {
      assertEquals("row 9", text(rows.train().get(9)));
      assertEquals(10, rows.first().size());
    }
    assertTrue(console().contains("c.jsonl: encoded before, read from prepared/"), console());
    assertFalse(console().contains("encoded in"), console());
    assertTrue(console().contains("c.jsonl: 10 examples of 10 rows"), console());
    read(sets.replace("a.jsonl", "c.jsonl"), "sequence_len=65").close();
    assertTrue(console().contains("encoded in"), console());
    read(sets.replace("a.jsonl", "c.jsonl"), "dataset_prepared_path=none").close();
    assertTrue(console().contains("encoded in"), console());
    assertFalse(console().contains("prepared/"), console());
  }

  @Test
  void filesOfEveryKindAndSplitsMix() throws IOException {
    rows("set/train-00000-of-00002.jsonl", 200, 3);
    rows("set/train-00001-of-00002.jsonl", 300, 2);
    Files.writeString(temp.resolve("c.csv"), "id,text\n1,\"one, two\"\n");
    try (RecipeRows rows =
        read(
            """
            datasets:
              - {path: set, split: train, type: text}
              - {path: c.csv, type: text}
              - {path: '?.jsonl', type: text, limit: 12}
            """)) {
      List<String> texts = rows.train().stream().map(RowsOfARecipeTest::text).toList();
      assertEquals(5 + 1 + 12, texts.size());
      assertEquals(List.of("row 202", "row 300"), texts.subList(2, 4));
      assertEquals("one, two", texts.get(5));
      assertEquals("row 101", texts.get(17));
    }
    assertTrue(console().contains("set (train): 5 examples of 5 rows"), console());
    assertTrue(console().contains("?.jsonl: 12 examples of 12 rows"), console());
  }

  @Test
  void weightsSayHowOftenAnEpochHasARow() throws IOException {
    String sets =
        "datasets: [{path: a.jsonl, type: text, weight: 1.5}, {path: b.jsonl, type: text, weight:"
            + " 0.25}]\n";
    Recipe recipe = recipe(sets + "micro_batch_size: 4\nnum_epochs: 3\n");
    try (RecipeRows rows = RecipeRows.read(recipe, out)) {
      assertEquals(18, rows.train().size());
      assertEquals(15 + 2, rows.training().perEpoch());
      assertTrue(console().contains("a.jsonl: weight 1.5\n"), console());
      assertEquals(
          15, RunSettings.of(recipe, RunSettings.plan(recipe, rows.training())).totalSteps());
      assertEquals("1.5 of 10, 0.25 of 8", identity(recipe, rows).get("weights of training rows"));
    }
    try (RecipeRows rows = read(sets + "val_set_size: 6\n")) {
      int first = rows.sets().get(0).rows();
      assertEquals(12, first + rows.sets().get(1).rows());
      assertEquals(6, rows.eval().size());
      List<String> texts = rows.train().stream().map(RowsOfARecipeTest::text).toList();
      assertEquals(first, texts.stream().filter(text -> text.matches("row \\d")).count());
    }
    assertTrue(
        refusal("datasets: [{path: a.jsonl, type: text, weight: 0}]\n")
            .endsWith("'datasets.0.weight' is '0', expected a number > 0 and <= 1000"));
  }

  /** Fractions of two sets, epochs that end within a step's reach, and a stop in the second. */
  @Test
  void aRunOfAMixtureResumesToTheSameBits() throws IOException {
    String sets =
        """
        datasets:
          - {path: a.jsonl, type: text, weight: 0.5}
          - {path: b.jsonl, type: text, weight: 1.25}
        micro_batch_size: 2
        gradient_accumulation_steps: 2
        max_steps: 10
        lora_dropout: 0.1
        resume_from_checkpoint: auto
        """;
    new RecipeRun(recipe(sets, "output_dir=" + temp.resolve("whole")), out, false).run();
    String stopped = "output_dir=" + temp.resolve("stopped");
    RecipeRun first = new RecipeRun(recipe(sets, stopped), out, false);
    AtomicInteger done = new AtomicInteger();
    first.listen(
        new TrainListener() {
          @Override
          public void stepEnded(StepMetrics metrics) {
            done.set(metrics.step());
          }
        });
    first.stopWhen(() -> done.get() == 6);
    assertThrows(TrainingInterruptedException.class, first::run);
    new RecipeRun(recipe(sets, stopped), out, false).run();
    assertTrue(console().contains("going on from stopped/checkpoint-6"), console());
    assertArrayEquals(
        Files.readAllBytes(temp.resolve("whole/adapter_model.safetensors")),
        Files.readAllBytes(temp.resolve("stopped/adapter_model.safetensors")));
    InvalidInputException e =
        assertThrows(
            InvalidInputException.class,
            () -> new RecipeRun(recipe(sets, stopped, "datasets.0.weight=1"), out, false).run());
    assertTrue(
        e.getMessage().contains("'weights of training rows' was 0.5 of 10, "), e.getMessage());
  }

  @Test
  void tooManyRowsThatAreTooLongAreRefused() throws IOException {
    String text = "{\"text\": \"" + "long ".repeat(20) + "\"}\n";
    Files.writeString(
        temp.resolve("l.jsonl"), text.repeat(6) + "{\"text\": \"short\"}\n".repeat(4));
    String sets = "datasets: [{path: l.jsonl, type: text}]\nexcess_length_strategy: drop\n";
    assertEquals(
        "a.yaml:11:19: 6 of 10 rows are longer than sequence_len 64 (the longest has 101 tokens),"
            + " more than excess_length_limit 0.5 allows: raise sequence_len, or"
            + " excess_length_limit",
        refusal(sets));
    assertTrue(refusal(sets.replace("drop", "truncate")).contains("6 of 10 rows are longer"));
    try (RecipeRows rows = read(sets, "excess_length_limit=0.6")) {
      assertEquals(4, rows.train().size());
    }
    assertTrue(console().contains("l.jsonl: 6 rows left out: longer than sequence_len"), console());
  }

  @Test
  void rowsThatAreTrainedAndEvaluatedOnAreTold() throws IOException {
    rows("t.jsonl", 8, 4);
    read("datasets: [{path: a.jsonl, type: text}]\ntest_datasets: [{path: t.jsonl, type: text}]\n")
        .close();
    assertTrue(
        console()
            .contains(
                "warning: 2 of 4 evaluation rows are also trained on (the first is row 1): their"
                    + " loss says little"),
        console());
    Files.writeString(temp.resolve("d.jsonl"), "{\"text\": \"same\"}\n".repeat(4));
    read("datasets: [{path: d.jsonl, type: text}]\nval_set_size: 1\n").close();
    assertTrue(console().contains("warning: 1 of 1 evaluation rows"), console());
    read("datasets: [{path: a.jsonl, type: text}]\ntest_datasets: [{path: b.jsonl, type: text}]\n")
        .close();
    assertFalse(console().contains("warning"), console());
  }

  @Test
  void rowsWithEmptyAnswersAreToldOnce() throws IOException {
    String row =
        "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}, {\"role\": \"assistant\", \"content\":"
            + " \"%s\"}]}\n";
    Files.writeString(
        temp.resolve("e.jsonl"),
        row.formatted("b") + row.formatted("") + row.formatted("c") + row.formatted(" "));
    read("datasets: [{path: e.jsonl, type: messages}]\n").close();
    assertTrue(
        console()
            .contains(
                "warning: 2 of 4 rows to train on have empty answers (the first is row 2): they"
                    + " teach nothing but to end the turn at once"),
        console());
    assertEquals(1, console().split("empty answers", -1).length - 1);
  }

  @Test
  void nothingOfASetThatIsRefusedIsKept() throws IOException {
    Files.writeString(temp.resolve("bad.jsonl"), "{\"text\": \"x\"}\n{\"text\": 7}\n");
    assertEquals(
        "a.yaml:11:19: bad.jsonl:2: column 'text' is 7, expected a string",
        refusal("datasets: [{path: bad.jsonl, type: text}]\n"));
    Files.writeString(temp.resolve("empty.jsonl"), "\n\n");
    assertTrue(
        refusal("datasets: [{path: empty.jsonl, type: text}]\n")
            .endsWith("empty.jsonl: is empty, expected at least one row"));
    Files.writeString(temp.resolve("nan.jsonl"), "{\"text\": NaN}\n");
    assertEquals(
        "a.yaml:11:19: nan.jsonl:1:13: not valid JSON: Non-standard token 'NaN', which JSON does"
            + " not have",
        refusal("datasets: [{path: nan.jsonl, type: text}]\n"));
    try (Stream<Path> files = Files.list(temp.resolve("prepared"))) {
      assertEquals(0, files.count());
    }
  }

  @Test
  void aDirectoryInTheOutputIsNoPlaceForEncodedRows() {
    assertTrue(
        refusal(
                "datasets: [{path: a.jsonl, type: text}]\n",
                "dataset_prepared_path=" + temp.resolve("out/rows"))
            .contains("'dataset_prepared_path' is in 'output_dir'"));
  }
}
