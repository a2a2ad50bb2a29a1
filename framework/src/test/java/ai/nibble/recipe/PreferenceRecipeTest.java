package ai.nibble.recipe;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.TinyChat;
import ai.nibble.report.Report;
import ai.nibble.train.objective.DirectPreference.LossType;
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
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** What recipes say of preferences. */
final class PreferenceRecipeTest {
  private static final String BASE =
      """
      base_model: model
      learning_rate: 1e-4
      sequence_len: 128
      output_dir: out
      micro_batch_size: 2
      """;

  private static final String PAIRS = "datasets: [{path: rows.jsonl, type: preference}]\n";

  private static final String JUDGED = "datasets: [{path: rows.jsonl, type: kto}]\n";

  @TempDir Path temp;

  private Recipe load(String text) throws IOException {
    return new RecipeFiles(temp).loadText(BASE + text);
  }

  private List<String> problems(String text) throws IOException {
    return new RecipeFiles(temp).problemsOf(BASE + text);
  }

  @Test
  void defaultsFollowTheMethod() throws IOException {
    Preference dpo = load("method: dpo\n" + PAIRS).preference();
    assertEquals(new Preference(LossType.SIGMOID, 0.1, 0, 0.5, 0, 1, 1, false), dpo);
    assertEquals(2, load("method: simpo\n" + PAIRS).preference().beta());
    assertEquals(1, load("method: cpo\n" + PAIRS).preference().rpoAlpha());
    assertEquals(0.1, load("method: kto\n" + JUDGED).preference().beta());
  }

  @Test
  void whatOtherToolsCallTheKeysIsUnderstood() throws IOException {
    Recipe factory =
        load(
            "stage: dpo\npref_loss: ipo\npref_beta: 0.2\npref_ftx: 0.5\n"
                + "dpo_label_smoothing: 0\n"
                + PAIRS);
    assertEquals(Recipe.Method.DPO, factory.method());
    assertEquals(new Preference(LossType.IPO, 0.2, 0, 0.5, 0.5, 1, 1, false), factory.preference());
    Recipe axolotl =
        load("rl: kto\nkto_desirable_weight: 1.2\nkto_undesirable_weight: 0.8\n" + JUDGED);
    assertEquals(Recipe.Method.KTO, axolotl.method());
    assertEquals(1.2, axolotl.preference().desirableWeight());
    assertEquals(0.8, axolotl.preference().undesirableWeight());
    assertEquals(0.3, load("rl: orpo\norpo_alpha: 0.3\n" + PAIRS).preference().beta());
  }

  @Test
  void aResolvedRecipeLoadsBackToTheSame() throws IOException {
    Recipe recipe = load("method: simpo\nsimpo_gamma: 1.5\n" + PAIRS);
    assertEquals(recipe, new RecipeFiles(temp).loadText(recipe.resolvedYaml()));
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "method: sft; datasets: [{path: rows.jsonl, type: preference}] | 'datasets.0.type' is"
            + " 'preference', but method sft expects rows without preferences, or a method that"
            + " learns from them, such as dpo or kto",
        "method: dpo; datasets: [{path: rows.jsonl, type: alpaca}] | 'datasets.0.type' is 'alpaca',"
            + " but method dpo expects preference",
        "method: kto; datasets: [{path: rows.jsonl, type: preference}] | 'datasets.0.type' is"
            + " 'preference', but method kto expects unpaired_preference",
        "method: dpo; sample_packing: true; datasets: [{path: rows.jsonl, type: dpo}] |"
            + " 'sample_packing' is 'true', but method dpo counts rows and compares answers, which a"
            + " pack does not keep together: remove it, and raise micro_batch_size instead",
        "method: dpo; adapter: none; datasets: [{path: rows.jsonl, type: dpo}] | 'adapter' is"
            + " 'none', but method dpo measures against the base, which is the model with its adapter"
            + " off: use adapter: lora or qlora, or set precompute_ref_log_probs: true, which asks"
            + " the base before training",
        "method: kto; adapter: none; datasets: [{path: rows.jsonl, type: kto}] | 'adapter' is"
            + " 'none', but method kto measures against the base, which is the model with its adapter"
            + " off: use adapter: lora or qlora",
        "method: kto; precompute_ref_log_probs: true; datasets: [{path: rows.jsonl, type: kto}] |"
            + " 'precompute_ref_log_probs' is 'true', but method kto pairs prompts with other answers"
            + " anew in every micro-batch, which nobody can ask about before: remove it",
        "method: kto; eval_batch_size: 1; val_set_size: 5; datasets: [{path: rows.jsonl, type: kto}]"
            + " | 'eval_batch_size' is 1, but method kto pairs each prompt with another row's answer:"
            + " set it to 2 or more",
      })
  void whatDoesNotGoTogetherIsRefused(String text, String problem) throws IOException {
    List<String> problems = problems(text.replace("; ", "\n") + "\n");
    assertEquals(1, problems.size(), problems.toString());
    assertTrue(problems.get(0).endsWith(": " + problem), problems.get(0));
  }

  @Test
  void oneRowAtATimeIsTooFewForKto() throws IOException {
    RecipeFiles files = new RecipeFiles(temp);
    List<String> problems =
        files.problemsOf(BASE.replace("size: 2", "size: 1") + "method: kto\n" + JUDGED);
    assertEquals(1, problems.size(), problems.toString());
    assertTrue(
        problems
            .get(0)
            .endsWith(
                ": 'micro_batch_size' is 1, but method kto pairs each prompt with another row's"
                    + " answer: set it to 2 or more"),
        problems.get(0));
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "method: sft; beta: 0.3; datasets: [{path: rows.jsonl, type: alpaca}] | 'beta' has no effect"
            + " with method: sft",
        "method: orpo; loss_type: hinge; datasets: [{path: rows.jsonl, type: dpo}] | 'loss_type' has"
            + " no effect with method: orpo",
        "method: dpo; loss_type: ipo; label_smoothing: 0.1; datasets: [{path: rows.jsonl, type: dpo}]"
            + " | 'label_smoothing' has no effect with the loss_type",
        "method: dpo; train_on_inputs: true; datasets: [{path: rows.jsonl, type: dpo}] |"
            + " 'train_on_inputs' has no effect with method: dpo, which looks at answers alone",
      })
  void whatHasNoEffectIsNoticed(String text, String notice) throws IOException {
    List<String> notices = load(text.replace("; ", "\n") + "\n").notices();
    assertEquals(
        1, notices.stream().filter(line -> line.endsWith(notice)).count(), notices.toString());
  }

  private static final String PAIR_ROWS =
      """
      {"prompt": "a", "chosen": "yes", "rejected": "no"}
      {"prompt": "bb", "chosen": "yes!", "rejected": "never"}
      {"prompt": "c?", "chosen": "yes, yes", "rejected": "no"}
      {"prompt": "dd", "chosen": "oh yes", "rejected": "oh no"}
      {"prompt": "e", "chosen": "yes", "rejected": "well, no"}
      """;

  private static final String JUDGED_ROWS =
      """
      {"prompt": "a", "completion": "yes", "label": true}
      {"prompt": "bb", "completion": "never", "label": false}
      {"prompt": "c?", "completion": "yes, yes", "label": true}
      {"prompt": "dd", "completion": "oh no", "label": false}
      {"prompt": "e", "completion": "yes", "label": true}
      """;

  private Recipe tiny(String method) throws IOException {
    RecipeFiles files = new RecipeFiles(temp);
    TinyChat.write(temp.resolve("chat"));
    files.write("rows.jsonl", method.contains("kto") ? JUDGED_ROWS : PAIR_ROWS);
    return files.loadText(
        BASE.replace("model\n", "chat\n").replace("1e-4", "2e-2")
            + "method: "
            + method
            + "\n"
            + (method.contains("kto") ? JUDGED : PAIRS)
            + "test_datasets: [{path: rows.jsonl, type: "
            + (method.contains("kto") ? "kto" : "dpo")
            + "}]\nmax_steps: 6\neval_steps: 3\nlora_r: 4\ndataset_prepared_path: none\n"
            + "bnb_4bit_compute_dtype: float32\n");
  }

  /** By every method a run is trained, logged and told of; the rewards of the rows part. */
  @ParameterizedTest
  @ValueSource(
      strings = {
        "dpo",
        "dpo\nprecompute_ref_log_probs: true",
        "dpo\nadapter: none\nprecompute_ref_log_probs: true",
        "kto",
        "orpo",
        "orpo\nadapter: none",
        "simpo",
        "cpo"
      })
  void aRunIsTrainedLoggedAndReported(String method) throws IOException {
    Recipe recipe = tiny(method);
    ByteArrayOutputStream told = new ByteArrayOutputStream();
    PrintStream out = new PrintStream(told, true, StandardCharsets.UTF_8);
    new RecipeRun(recipe, out, false).run();
    Path output = recipe.output().outputDir();
    List<JsonNode> lines = new ArrayList<>();
    for (String line : Files.readAllLines(output.resolve("metrics.jsonl"))) {
      lines.add(JsonMapper.builder().build().readTree(line));
    }
    List<JsonNode> evaluations = lines.stream().filter(line -> line.has("eval_loss")).toList();
    assertEquals(2, evaluations.size());
    double before = evaluations.get(0).get("eval_rewards/margins").asDouble();
    double after = evaluations.get(1).get("eval_rewards/margins").asDouble();
    assertTrue(after > before, before + " to " + after);
    for (String key : List.of("rewards/chosen", "rewards/rejected", "logps/chosen")) {
      assertTrue(evaluations.get(1).has("eval_" + key), key);
    }
    JsonNode step = lines.get(lines.size() - 2);
    assertEquals(6, step.get("step").asInt());
    assertEquals(!method.equals("kto"), step.has("rewards/accuracies"));
    assertEquals(method.equals("kto"), step.has("kl"));
    assertEquals(
        method.contains("orpo") || method.equals("cpo"), step.has("nll_loss"), step.toString());
    String console = told.toString(StandardCharsets.UTF_8);
    assertTrue(console.contains("rewards/margins "), console);
    assertEquals(
        method.contains("precompute"), console.contains("reference: asked about 10 rows in "));
    String page = Files.readString(Report.write(output));
    assertTrue(page.contains("Reward margin"), method);
    assertTrue(page.contains("data-curve=\"rewards\""), method);
  }

  @Test
  void inspectionShowsBothAnswersOfARow() throws IOException {
    Inspection found = Inspection.of(tiny("dpo"), 2);
    assertEquals(4, found.samples().size());
    assertEquals(5, found.tokens().rows());
    assertEquals(10, found.tokens().lengths().length);
    assertEquals(10, found.tokens().turns());
    String rejected =
        found.samples().get(1).stream().map(TokenText::text).collect(Collectors.joining());
    assertTrue(rejected.startsWith("ano"), rejected);
    assertEquals(3, found.stepsPerEpoch());
  }

  @Test
  void planningCountsBothAnswers() throws IOException {
    RecipePlan plan =
        RecipePlan.read(tiny("dpo"), new PrintStream(new ByteArrayOutputStream()), List.of());
    assertEquals(4, plan.largestBatch().sequences()); // two rows
    RecipePlan judged =
        RecipePlan.read(tiny("kto"), new PrintStream(new ByteArrayOutputStream()), List.of());
    assertEquals(2, judged.largestBatch().sequences());
  }
}
