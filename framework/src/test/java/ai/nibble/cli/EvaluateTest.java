package ai.nibble.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.TinyChat;
import ai.nibble.lora.AdapterStore;
import ai.nibble.lora.InitLoraWeights;
import ai.nibble.lora.LoraAdapter;
import ai.nibble.lora.LoraConfig;
import ai.nibble.lora.PathValues;
import ai.nibble.lora.TargetModules;
import ai.nibble.model.CausalLm;
import ai.nibble.model.LoadOptions;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Tensor;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** {@code nibble evaluate} on files, from options to tables. */
final class EvaluateTest {
  @TempDir Path temp;
  private final StringWriter out = new StringWriter();
  private final StringWriter err = new StringWriter();
  private long liveBefore;
  private Path model;
  private Path text;
  private Path choices;
  private Path problems;

  @BeforeEach
  void writeFiles() throws IOException {
    liveBefore = Tensor.live();
    model = TinyChat.write(temp.resolve("chat"));
    text =
        Files.writeString(
            temp.resolve("t.txt"), "Some words of a text to be predicted. ".repeat(4));
    StringBuilder rows = new StringBuilder();
    StringBuilder sums = new StringBuilder();
    for (int i = 0; i < 12; i++) {
      rows.append(
          "{\"context\": \"Item %d is\", \"choices\": [\"odd\", \"even\", \"none\"], \"answer\": %d}\n"
              .formatted(i, i % 2));
      sums.append("{\"question\": \"%d + 1?\", \"answer\": \"#### %d\"}\n".formatted(i, i + 1));
    }
    choices = Files.writeString(temp.resolve("c.jsonl"), rows);
    problems = Files.writeString(temp.resolve("g.jsonl"), sums);
  }

  @AfterEach
  void everyTensorIsClosed() {
    assertEquals(liveBefore, Tensor.live());
  }

  private int nibble(String... args) {
    out.getBuffer().setLength(0);
    err.getBuffer().setLength(0);
    return Nibble.run(
        Nibble.commandLine((recipe, writer) -> 0, Generation::run)
            .setOut(new PrintWriter(out))
            .setErr(new PrintWriter(err)),
        args);
  }

  private int evaluate(String... more) {
    List<String> args = new ArrayList<>(List.of("evaluate", "--model", model.toString()));
    args.addAll(List.of("--compute-dtype", "float32"));
    args.addAll(List.of(more));
    if (args.contains("perplexity=" + text)) {
      args.addAll(List.of("--window", "32"));
    }
    return nibble(args.toArray(String[]::new));
  }

  private List<String> table() {
    return out.toString().lines().filter(line -> line.startsWith("|")).toList();
  }

  @Test
  void modelsStandSideBySideWithDifferencesToTheFirst() throws IOException {
    Path json = temp.resolve("table.json");
    int code =
        evaluate(
            "--task",
            "perplexity=" + text,
            "--task",
            "choices=" + choices,
            "--compare",
            "base,nf4,fp4-dq",
            "--json",
            json.toString());
    assertEquals(0, code, err.toString());
    List<String> table = table();
    assertEquals(5, table.size(), out.toString());
    assertTrue(
        table
            .get(0)
            .matches("\\| model +\\| +perplexity \\| +choices acc \\| +choices acc_norm \\|"));
    assertTrue(table.get(2).matches("\\| base +\\| +[\\d.]+ ± [\\d.]+ \\|.*"), table.get(2));
    assertTrue(table.get(3).matches("\\| nf4 .*\\([+-][\\d.]+ ± [\\d.]+\\).*"), table.get(3));
    assertEquals(1, table.stream().mapToInt(String::length).distinct().count());
    JsonNode root = new ObjectMapper().readTree(json.toFile());
    assertEquals(9, root.get("results").size());
    JsonNode last = root.get("results").get(8);
    assertEquals("fp4-dq", last.get("variant").asText());
    assertEquals("acc_norm", last.get("metric").asText());
    assertEquals(12, last.get("items").asInt());
    assertTrue(last.get("difference_stderr").isNumber());
  }

  @Test
  void aRunThatWasKilledGoesOnToTheSameTable() throws IOException {
    Path results = temp.resolve("r.jsonl");
    String[] args = {
      "--task",
      "perplexity=" + text,
      "--task",
      "choices=" + choices,
      "--num-fewshot",
      "2",
      "--compare",
      "base,nf4",
      "--results",
      results.toString(),
      "--batch-tokens",
      "100"
    };
    assertEquals(0, evaluate(args), err.toString());
    List<String> whole = table();
    List<String> lines = Files.readAllLines(results);
    for (int kept : new int[] {1, lines.size() / 2, lines.size() - 1}) {
      String cut = lines.get(kept).substring(0, 20);
      Files.writeString(results, String.join("\n", lines.subList(0, kept)) + "\n" + cut);
      assertEquals(0, evaluate(args), err.toString());
      assertEquals(whole, table(), "killed after line " + kept);
      assertEquals(lines.size(), Files.readAllLines(results).size());
    }
    assertTrue(err.toString().contains("of 12 items are there already"), err.toString());
    assertEquals(0, evaluate(args));
    assertEquals(whole, table());
    assertTrue(!err.toString().contains("base: weights"), "nothing is loaded: " + err);
  }

  @Test
  void aLimitTakesTheFirstItemsAlsoOfResultsThatAreThere() {
    String results = temp.resolve("r.jsonl").toString();
    String task = "choices=" + choices;
    assertEquals(0, evaluate("--task", task, "--limit", "5"));
    List<String> five = table();
    assertEquals(0, evaluate("--task", task, "--results", results));
    assertEquals(0, evaluate("--task", task, "--results", results, "--limit", "choices=5"));
    assertEquals(five, table());
  }

  @Test
  void otherSettingsAreRefusedByName() {
    String results = temp.resolve("r.jsonl").toString();
    String task = "choices=" + choices;
    assertEquals(0, evaluate("--task", task, "--results", results));
    assertEquals(2, evaluate("--task", task, "--results", results, "--num-fewshot", "1"));
    assertTrue(err.toString().contains("'num_fewshot' was '0' and is now '1'"), err.toString());
    assertEquals(2, evaluate("--task", task, "--results", results, "--compute-dtype", "bfloat16"));
  }

  @Test
  void answersAreExtractedFromTextAndFromTurns() {
    for (String way : List.of("--batch-tokens=9", "--chat")) {
      int code =
          evaluate(
              "--task",
              "gsm8k=" + problems,
              "--max-new-tokens",
              "4",
              "--limit",
              "3",
              "--num-fewshot",
              "1",
              way,
              "--results",
              temp + "/" + way);
      assertEquals(0, code, err.toString());
      assertTrue(table().get(0).contains("gsm8k exact_match"), out.toString());
    }
  }

  @Test
  void anAnswerIsGeneratedNoFurtherThanTheNextQuestion() throws IOException {
    model = TinyChat.writing("Question:", temp.resolve("asks"));
    Path kept = temp.resolve("r.jsonl");
    String task = "gsm8k=" + problems;
    List<String> args = List.of("--task", task, "--limit", "2", "--results", kept.toString());
    assertEquals(0, evaluate(args.toArray(String[]::new)), err.toString());
    List<JsonNode> items = new ArrayList<>();
    for (String line : Files.readAllLines(kept)) {
      items.addAll(new ObjectMapper().readTree(line).findParents("answer"));
    }
    assertEquals(2, items.size());
    for (JsonNode item : items) {
      assertEquals("", item.get("answer").asText());
      assertEquals("Question:".length(), item.get("tokens").asInt());
    }
  }

  @Test
  void anAdapterIsComparedWithItsBase() throws IOException {
    Path directory = temp.resolve("adapter");
    try (CausalLm base = CausalLm.load(model, LoadOptions.unquantized(DType.FLOAT32));
        LoraAdapter adapter = LoraAdapter.inject(base, rank4(), 1)) {
      AdapterStore.save(adapter, directory, model.toString(), false);
    }
    int code =
        evaluate(
            "--adapter",
            directory.toString(),
            "--task",
            "choices=" + choices,
            "--compare",
            "base,adapter,nf4+adapter");
    assertEquals(0, code, err.toString());
    // its B is zero: it changes nothing, to the last bit
    assertTrue(table().get(3).contains("(+0.0000 ± 0.0000)"), out.toString());
    assertEquals(
        0, nibble("evaluate", "--adapter", directory.toString(), "--task", "choices=" + choices));
    assertTrue(err.toString().contains("note: base model " + model), err.toString());
  }

  private static LoraConfig rank4() {
    return new LoraConfig(
        4,
        8,
        0,
        new TargetModules.AllLinear(),
        TargetModules.NONE,
        false,
        PathValues.none(),
        PathValues.none(),
        List.of(),
        List.of(),
        InitLoraWeights.KAIMING);
  }

  @Test
  void costIsMeasuredWithOneModel() throws IOException {
    Path json = temp.resolve("table.json");
    int code = evaluate("--task", "perplexity=" + text, "--cost", "--json", json.toString());
    assertEquals(0, code, err.toString());
    assertTrue(table().get(0).contains("decoding tokens/s"), out.toString());
    JsonNode cost = new ObjectMapper().readTree(json.toFile()).get("costs").get(0);
    assertTrue(cost.get("tokensPerSecond").asDouble() > 0);
    assertTrue(cost.get("peakBytes").asLong() >= cost.get("scoringPeakBytes").asLong());
    assertTrue(cost.get("weightBytes").asLong() > 0);
  }

  @Test
  void everyQuantisationIsMeasuredInAProcessOfItsOwn() throws IOException {
    Path endings = Files.writeString(temp.resolve("h.txt"), "A b\n1\nc\nd\ne\nf\n".repeat(3));
    Path json = temp.resolve("q.json");
    int code =
        nibble(
            "quality",
            "--model",
            model.toString(),
            "--text",
            text.toString(),
            "--hellaswag",
            endings.toString(),
            "--items",
            "2",
            "--compute-dtype",
            "float32",
            "--quantizations",
            "base,nf4,int8",
            "--json",
            json.toString());
    assertEquals(0, code, err.toString());
    assertEquals(5, table().size(), out.toString());
    assertTrue(
        table().get(0).matches(".* perplexity \\| +hellaswag acc .* weights MB \\| +peak MB .*"),
        out.toString());
    JsonNode costs = new ObjectMapper().readTree(json.toFile()).get("costs");
    assertEquals(3, costs.size());
    // each row has its own model: 4 bits hold less than 8, and these than what was stored
    long[] bytes = new long[3];
    Arrays.setAll(bytes, i -> costs.get(i).get("weightBytes").asLong());
    assertTrue(bytes[1] < bytes[2] && bytes[2] < bytes[0], Arrays.toString(bytes));
    assertEquals(2, nibble("quality", "--model", model.toString(), "--text", temp + "/none.txt"));
    assertTrue(err.toString().contains("bf16 was not measured: the lines above"), err.toString());
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "--items 2 | Missing required option: --text, or --hellaswag, or both",
        "--text t --windows 0 | --windows is 0, expected at least 1",
        "--text t --items 3 | --items is given without --hellaswag",
        "--hellaswag t --items -1 | --items is -1, expected at least 1",
        "--text t --quantizations nf4,nf4 | --compare names one twice: [nf4, nf4]",
        "--text t --quantizations bf16,q9 | --compare names 'q9', expected one of",
        "--text t --quantizations bf16,none.gguf | none.gguf: there is no such model",
        "--text t --compute-dtype int8 | --compute-dtype is 'int8', expected one of",
        "--text t --json none/q.json | none/q.json: its directory does not exist, create it first",
      })
  void ofTheQuantisationTableNothingIsMeasuredBeforeAllIsFound(String line, String problem) {
    List<String> args = new ArrayList<>(List.of("quality", "--model", model.toString()));
    args.addAll(List.of(line.split(" ")));
    assertEquals(2, nibble(args.toArray(String[]::new)));
    assertTrue(err.toString().startsWith("error: " + problem), err.toString());
    assertFalse(err.toString().contains("not measured"), err.toString());
    assertEquals(2, nibble("quality", "--model", temp + "/none", "--text", text.toString()));
    assertTrue(err.toString().startsWith("error: " + temp + "/none: there is no such model"));
  }

  @Test
  void aPlaceThatCannotBeWrittenIsFoundBeforeAnythingIsComputed() {
    String task = "choices=" + choices;
    String gone = temp.resolve("none/t").toString();
    for (String option : List.of("--json", "--results")) {
      assertProblem(
          gone + ": its directory does not exist, create it first", "--task", task, option, gone);
      assertFalse(err.toString().contains("compute dtype"), err.toString());
      assertProblem(temp + ": is a directory", "--task", task, option, temp.toString());
    }
  }

  @Test
  void twoFilesOfOneNameWouldBeOneInTheResults() throws IOException {
    List<Path> files = new ArrayList<>();
    for (String directory : List.of("x", "y")) {
      Path parent = Files.createDirectories(temp.resolve(directory));
      files.add(Files.createFile(parent.resolve("q.gguf")));
    }
    assertProblem(
        "--compare names %s and %s, which results would call the same"
            .formatted(files.get(0), files.get(1)),
        "--task",
        "choices=" + choices,
        "--compare",
        files.get(0) + "," + files.get(1));
  }

  @Test
  void whatIsWrongIsOneLineAndExit2() {
    String task = "choices=" + choices;
    assertProblem("of the kind 'mnli', expected one of [perplexity,", "--task", "mnli=x");
    assertProblem("--task is 'arc', expected arc=FILE", "--task", "arc");
    assertProblem("--compare names 'nf5', expected one of", "--task", task, "--compare", "nf5");
    assertProblem("--compare names 'int4', expected one of", "--task", task, "--compare", "int4");
    assertProblem("needs an adapter: give --adapter", "--task", task, "--compare", "adapter");
    assertProblem("--compare names one twice", "--task", task, "--compare", "nf4,nf4");
    assertProblem("--limit is 'x', expected a whole number", "--task", task, "--limit", "x");
    assertProblem("--limit arc=3 is for 'arc'", "--task", task, "--limit", "arc=3");
    assertProblem(
        "--num-fewshot is 12, but there are 11 other", "--task", task, "--num-fewshot", "12");
    assertProblem(
        temp + "/none.jsonl: expected a data file", "--task", "arc=" + temp + "/none.jsonl");
    assertProblem("--window and --stride are of perplexity", "--task", task, "--stride", "9");
    assertProblem("--chat is of gsm8k, which no --task", "--task", task, "--chat");
    assertProblem(
        "--fewshot-file is given without --num-fewshot", "--task", task, "--fewshot-file", task);
    assertEquals(2, evaluate("--task", task, "--task", task));
    assertEquals(2, evaluate("--task", task, "--cost", "--compare", "base,nf4"));
    assertEquals(2, nibble("evaluate", "--task", task));
  }

  private void assertProblem(String problem, String... args) {
    assertEquals(2, evaluate(args), err.toString());
    List<String> lines = err.toString().lines().filter(l -> l.startsWith("error: ")).toList();
    assertEquals(1, lines.size(), err.toString());
    assertTrue(lines.get(0).contains(problem), lines.get(0));
  }
}
