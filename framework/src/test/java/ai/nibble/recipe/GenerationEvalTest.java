package ai.nibble.recipe;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.InvalidInputException;
import ai.nibble.TinyChat;
import ai.nibble.eval.AnswerMetric;
import ai.nibble.tensor.Tensor;
import ai.nibble.train.TrainingInterruptedException;
import ai.nibble.train.log.StepMetrics;
import ai.nibble.train.log.TrainListener;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Answers before and after training: what is checked, printed, written, and left untouched. */
final class GenerationEvalTest {
  private static final ObjectMapper JSON = new ObjectMapper();
  private static final String ROW =
      "{\"messages\": [{\"role\": \"user\", \"content\": \"%s\"},"
          + " {\"role\": \"assistant\", \"content\": \"%s\"}]}\n";

  @TempDir Path temp;
  private RecipeFiles files;

  @BeforeEach
  void makeFiles() throws IOException {
    files = new RecipeFiles(temp);
  }

  @Test
  void keysAreReadAndHaveDefaults() throws IOException {
    assertTrue(files.load("").evaluation().generationEval().isEmpty());
    GenerationEval least =
        files.load("generation_eval: {path: test.jsonl}\n").evaluation().generationEval().get();
    assertEquals(files.path("test.jsonl"), least.path());
    assertEquals(Dataset.RowType.MESSAGES, least.type());
    assertEquals(AnswerMetric.EXACT_TEXT, least.metric());
    assertEquals(256, least.maxNewTokens());
    Recipe all =
        files.load(
            "generation_eval: {path: test.jsonl, type: alpaca, limit: 2, metric: exact_json,"
                + " max_new_tokens: 5, show: 0, columns: {output: answer}}\n");
    assertEquals(
        Map.of("output", "answer"), all.evaluation().generationEval().get().dataset().columns());
    assertEquals(2, all.evaluation().generationEval().get().limit().orElseThrow());
    assertEquals(all, files.loadText(all.resolvedYaml()));
  }

  @Test
  void aSplitNamesAFileOfADirectory() throws IOException {
    files.write("held/test.jsonl", "{}\n");
    Recipe recipe = files.load("generation_eval: {path: held, split: test}\n");
    assertEquals(
        List.of(files.path("held/test.jsonl")),
        recipe.evaluation().generationEval().get().dataset().files());
    assertEquals(
        List.of(
            "a.yaml:6:25: 'generation_eval.path': no 'dev.jsonl' in 'held', nor another of [.jsonl,"
                + " .ndjson, .json, .csv, .parquet, .txt], nor 'dev-00000-of-00001.parquet' and the"
                + " like: name the file itself"),
        files.problems("generation_eval: {path: held, split: dev}\n"));
  }

  @Test
  void whatIsWrongIsSaidWithItsPlace() throws IOException {
    String model = "generation_eval: {path: test.jsonl, ";
    assertEquals(
        List.of(
            "a.yaml:6:45: 'generation_eval.metric' is 'exact_jsn', expected one of [exact_json,"
                + " exact_text] (did you mean 'exact_json'?)"),
        files.problems(model + "metric: exact_jsn}\n"));
    assertEquals(
        List.of(
            "a.yaml:6:25: 'generation_eval.path': nothing at '"
                + files.path("none.jsonl").toString().replace(temp + "/", "")
                + "', expected a file of rows: check the path, or give it with --set"
                + " generation_eval.path=FILE"),
        files.problems("generation_eval: {path: none.jsonl}\n"));
    assertTrue(
        files.problems(model + "shw: 1}\n").get(0).contains("unknown key 'generation_eval.shw'"));
    assertTrue(files.problems(model + "type: text}\n").get(0).contains("without a question"));
    String missing = files.problems("generation_eval: {metric: exact_json}\n").get(0);
    assertTrue(missing.contains("'generation_eval.path' is missing"), missing);
  }

  @Test
  void rowsThatAreTrainedOnAreNoticed() throws IOException {
    List<String> notices =
        files.load("generation_eval: {path: rows.jsonl, type: alpaca}\n").notices();
    assertEquals(1, notices.size());
    assertTrue(notices.get(0).contains("'generation_eval.path' is also trained on"));
  }

  private Recipe recipe(String name, String more) throws IOException {
    TinyChat.write(temp.resolve("chat"));
    files.write("train.jsonl", ROW.formatted("a", "b") + ROW.formatted("c", "d"));
    files.write("held.jsonl", ROW.formatted("a", "b").repeat(2) + ROW.formatted("größe", "{}"));
    return files.loadText(
        """
        base_model: chat
        datasets: [{path: train.jsonl, type: messages}]
        learning_rate: 0.02
        lora_r: 4
        lora_dropout: 0
        bnb_4bit_compute_dtype: float32
        sequence_len: 64
        max_steps: 40
        micro_batch_size: 2
        """
            + "output_dir: "
            + name
            + "\n"
            + more);
  }

  private String run(Recipe recipe) {
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    long live = Tensor.live();
    new RecipeRun(recipe, new PrintStream(out, true, StandardCharsets.UTF_8), false).run();
    assertEquals(live, Tensor.live());
    return out.toString(StandardCharsets.UTF_8);
  }

  private byte[] weights(String output) throws IOException {
    return Files.readAllBytes(temp.resolve(output).resolve("adapter_model.safetensors"));
  }

  @Test
  void answersArePrintedAndWrittenAndTrainingIsTheSameToTheBit() throws IOException {
    String eval = "generation_eval: {path: held.jsonl, max_new_tokens: 8, show: 2}\n";
    String printed = run(recipe("with", eval));
    run(recipe("without", ""));
    assertArrayEquals(weights("without"), weights("with"));

    assertTrue(
        printed.contains(
            "warning: 2 of 3 questions of generation_eval are also trained on (the first is row 1):"
                + " right answers to them say little"),
        printed);
    assertTrue(printed.contains("exact match 0.0 % (0 of 3) at step 0"), printed);
    assertTrue(printed.contains("(2 of 3) at step 40"), printed);
    assertTrue(printed.contains("  request   a\n  expected  b\n  before    "), printed);
    assertTrue(printed.contains("  after     b  [exact]\n"), printed);
    assertFalse(printed.contains("größe"), "only two are shown");
    assertTrue(
        printed.contains("nibble generate --adapter " + temp.resolve("with") + " --prompt a\n"));
    assertTrue(printed.contains("tensorboard --logdir " + temp.resolve("with/runs")));

    List<String> metrics = Files.readAllLines(temp.resolve("with/metrics.jsonl"));
    assertEquals(42, metrics.size());
    JsonNode first = JSON.readTree(metrics.get(0));
    assertEquals(0, first.get("step").asInt());
    assertEquals(0.0, first.get("exact_match").asDouble());
    JsonNode last = JSON.readTree(metrics.get(41));
    assertEquals(40, last.get("step").asInt());
    assertEquals(2 / 3.0, last.get("exact_match").asDouble());

    List<String> answers = Files.readAllLines(temp.resolve("with/answers.jsonl"));
    assertEquals(3, answers.size());
    JsonNode answer = JSON.readTree(answers.get(0));
    assertEquals("b", answer.get("after").asText());
    assertTrue(answer.get("after_exact").asBoolean());
    assertFalse(answer.get("before_exact").asBoolean());
    assertEquals("größe", JSON.readTree(answers.get(2)).get("request").asText());
  }

  private static final String LONG =
      "generation_eval: {path: held.jsonl, max_new_tokens: 8, show: 0}\nsave_steps: 10\n";

  /** Asked at every token: three questions of up to eight. */
  @Test
  void aRunThatIsAskedToStopWhileItAnswersDoesNotFinishTheAnswers() throws IOException {
    for (int answered : new int[] {0, 40}) {
      Recipe recipe = recipe("out" + answered, LONG);
      ByteArrayOutputStream out = new ByteArrayOutputStream();
      RecipeRun run =
          new RecipeRun(recipe, new PrintStream(out, true, StandardCharsets.UTF_8), false);
      int[] asked = {0};
      int[] steps = {0};
      run.listen(
          new TrainListener() {
            @Override
            public void stepEnded(StepMetrics metrics) {
              steps[0] = metrics.step();
            }
          });
      // before training: behind the rows and the weights, at the second token
      run.stopWhen(
          () -> steps[0] == answered && out.toString().contains("\ngeneration ") && ++asked[0] > 1);
      long live = Tensor.live();
      TrainingInterruptedException e = assertThrows(TrainingInterruptedException.class, run::run);
      assertEquals(2, asked[0]);
      assertEquals(live, Tensor.live());
      Path output = temp.resolve("out" + answered);
      assertEquals(
          answered == 0
              ? "stopped while answering rows, before any step"
              : "stopped while answering rows after training: what was trained is in " + output,
          e.getMessage());
      assertEquals(answered == 0, e.isResumable());
      assertEquals(answered > 0, Files.exists(output.resolve("adapter_model.safetensors")));
    }
  }

  @Test
  void aRunThatGoesOnTakesTheAnswersBeforeTrainingThatItHas() throws IOException {
    run(recipe("out", LONG));
    List<String> whole = Files.readAllLines(temp.resolve("out/answers.jsonl"));
    String again = "resume_from_checkpoint: " + temp.resolve("out/checkpoint-20") + "\n";
    String printed = run(recipe("out", LONG + again));
    assertTrue(printed.contains("the answers before training are those in "), printed);
    assertEquals(whole, Files.readAllLines(temp.resolve("out/answers.jsonl")));
    printed = run(recipe("out", LONG.replace("tokens: 8", "tokens: 2") + again));
    assertFalse(printed.contains("the answers before training are those in "), "other settings");
    Recipe other = recipe("out", LONG.replace("tokens: 8", "tokens: 2") + again);
    files.write("held.jsonl", ROW.formatted("a", "c").repeat(3));
    printed = run(other);
    assertFalse(printed.contains("the answers before training are those in "), "other questions");
  }

  @Test
  void aRowThatCannotBeComparedIsSaidBeforeAnythingIsTrained() throws IOException {
    Recipe json = recipe("out", "generation_eval: {path: held.jsonl, metric: exact_json}\n");
    InvalidInputException e = assertThrows(InvalidInputException.class, () -> run(json));
    assertTrue(
        e.getMessage().contains("held.jsonl:1: the expected answer is not JSON"), e.getMessage());
    files.write("held.jsonl", "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}]}\n");
    assertThrows(InvalidInputException.class, () -> run(json));
    String longer = ROW.formatted("x".repeat(600), "b");
    files.write("held.jsonl", ROW.formatted("a", "{}") + longer);
    e = assertThrows(InvalidInputException.class, () -> run(json));
    assertTrue(e.getMessage().contains("held.jsonl:2: the prompt has 6"), e.getMessage());
    assertTrue(e.getMessage().contains("max_position_embeddings, 512: shorten it"));
    assertFalse(Files.exists(temp.resolve("out")));
  }
}
