package ai.nibble.recipe;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.Directories;
import ai.nibble.InvalidInputException;
import ai.nibble.TinyChat;
import ai.nibble.lora.AdapterStore;
import ai.nibble.plan.Component;
import ai.nibble.plan.DevicePlan;
import ai.nibble.plan.DeviceUse;
import ai.nibble.plan.Phase;
import ai.nibble.report.Report;
import ai.nibble.train.objective.DirectLoss;
import ai.nibble.train.objective.FDivergence;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
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

  private static Preference preference(LossType loss, double beta, double rpoAlpha) {
    return new Preference(
        List.of(loss),
        List.of(),
        FDivergence.REVERSE_KL,
        0.5,
        0.05,
        beta,
        0,
        0.5,
        rpoAlpha,
        1,
        1,
        Preference.RefAdapter.NONE,
        false);
  }

  @Test
  void defaultsFollowTheMethod() throws IOException {
    Preference dpo = load("method: dpo\n" + PAIRS).preference();
    assertEquals(preference(LossType.SIGMOID, 0.1, 0), dpo);
    assertEquals(List.of(LossType.KTO), load("method: kto\n" + JUDGED).preference().lossType());
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
    assertEquals(preference(LossType.IPO, 0.2, 0.5), factory.preference());
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
    Recipe several = load("method: dpo\nloss_type: [sigmoid, sft]\nloss_weights: [1, 1]\n" + PAIRS);
    assertEquals(List.of(1.0, 1.0), several.preference().lossWeights());
    assertEquals(several, new RecipeFiles(temp).loadText(several.resolvedYaml()));
  }

  /** A loss has one name in recipes and one in the objective. */
  @Test
  void everyLossOfPairsMayBeNamed() {
    List<String> direct = Arrays.stream(DirectLoss.values()).map(Enum::name).sorted().toList();
    List<String> named =
        Arrays.stream(LossType.values())
            .filter(type -> type.direct().isPresent())
            .map(type -> type.direct().orElseThrow() + "")
            .sorted()
            .toList();
    assertEquals(direct, named);
    for (LossType type : LossType.values()) {
      type.direct().ifPresent(loss -> assertEquals(loss.name(), type.name()));
    }
  }

  @Test
  void aSumOfLossesHasTheWeightsThatStandBesideIt() throws IOException {
    Preference mpo =
        load("method: dpo\nloss_type: [sigmoid, bco_pair, sft]\nloss_weights: [0.8, 0.2, 1]\n"
                + PAIRS)
            .preference();
    assertEquals(0.2, mpo.weight(LossType.BCO_PAIR));
    assertEquals(1, mpo.entropyWeight());
    Preference even = load("method: dpo\nloss_type: [sigmoid, hinge]\n" + PAIRS).preference();
    assertEquals(1, even.weight(LossType.HINGE));
    assertEquals(0, even.weight(LossType.IPO));
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
        "method: kto; datasets: [{path: rows.jsonl, type: alpaca}] | 'datasets.0.type' is 'alpaca',"
            + " but method kto expects unpaired_preference, or preference, of which each answer"
            + " becomes a row of its own",
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
            + " anew in every micro-batch, which nobody can ask about before: remove it, or set"
            + " loss_type: apo_zero_unpaired",
        "method: kto; eval_batch_size: 1; val_set_size: 5; datasets: [{path: rows.jsonl, type: kto}]"
            + " | 'eval_batch_size' is 1, but method kto pairs each prompt with another row's answer:"
            + " set it to 2 or more, or loss_type to apo_zero_unpaired, which pairs none",
        "method: dpo; loss_type: kto; datasets: [{path: rows.jsonl, type: dpo}] | 'loss_type' is"
            + " 'kto', a loss of method kto, but method is dpo: expected one of [sigmoid, hinge, ipo,"
            + " exo_pair, nca_pair, robust, bco_pair, sppo_hard, apo_zero, apo_down, discopop,"
            + " sigmoid_norm, sft]",
        "method: kto; loss_type: [kto, apo_zero_unpaired]; datasets: [{path: rows.jsonl, type: kto}]"
            + " | 'loss_type' has 2 losses, but method kto has one: keep one",
        "method: kto; loss_type: [apo_zero]; datasets: [{path: rows.jsonl, type: kto}] |"
            + " 'loss_type.0' is 'apo_zero', a loss of method dpo, but method is kto: expected one of"
            + " [kto, apo_zero_unpaired]",
        "method: dpo; loss_type: [sigmoid, sft]; loss_weights: [1]; datasets: [{path: rows.jsonl,"
            + " type: dpo}] | 'loss_weights' has 1 number, but 'loss_type' names 2 losses: give each"
            + " one its weight",
        "method: dpo; loss_type: [sigmoid, ipo]; loss_weights: [0, 0]; datasets: [{path: rows.jsonl,"
            + " type: dpo}] | 'loss_weights' has nothing but 0: nothing would be learned, raise one"
            + " of them",
        "method: dpo; loss_type: [sigmoid, sft]; rpo_alpha: 1; datasets: [{path: rows.jsonl, type:"
            + " dpo}] | 'rpo_alpha' and the loss 'sft' both weigh the chosen answers' cross-entropy:"
            + " keep one",
        "method: dpo; loss_type: exo_pair; datasets: [{path: rows.jsonl, type: dpo}] |"
            + " 'label_smoothing' is 0, but the loss 'exo_pair' needs a share of wrong labels above"
            + " 0: its paper has 0.001",
        "method: dpo; loss_type: nca_pair; f_divergence_type: forward_kl; datasets: [{path:"
            + " rows.jsonl, type: dpo}] | 'f_divergence_type' is 'forward_kl', which only losses of"
            + " the difference of two answers have: remove it, or [nca_pair] from loss_type",
        "method: dpo; loss_type: [sigmoid, aot]; datasets: [{path: rows.jsonl, type: dpo}] |"
            + " 'loss_type.1' is 'aot', which is not supported: it sorts the pairs of a batch against"
            + " one another, and here a step is the same however it is parted into micro-batches; the"
            + " others are [sigmoid, hinge, ipo, exo_pair, nca_pair, robust, bco_pair, sppo_hard,"
            + " apo_zero, apo_down, discopop, sigmoid_norm, sft]",
        "method: dpo; ref_model_adapters: ./other; datasets: [{path: rows.jsonl, type: dpo}] |"
            + " 'ref_adapter' is './other', which is not supported yet (another adapter than the one"
            + " that training begins with): use start, the adapter of lora_model_dir, or none, the"
            + " base",
        "method: dpo; sync_ref_model: true; datasets: [{path: rows.jsonl, type: dpo}] |"
            + " 'sync_ref_model' is 'true', which is not supported yet (a reference that follows the"
            + " model, TR-DPO): remove it",
        "method: dpo; datasets: [{path: rows.jsonl, type: chatml.intel}] | 'datasets.0.type' is"
            + " 'chatml.intel', which is one of Axolotl's: use preference for pairs or"
            + " unpaired_preference for kto, which read its columns (datasets/README.md); the"
            + " template is chat_template's",
      })
  void whatDoesNotGoTogetherIsRefused(String text, String problem) throws IOException {
    List<String> problems = problems(text.replace("; ", "\n") + "\n");
    assertEquals(1, problems.size(), problems.toString());
    assertTrue(problems.get(0).endsWith(": " + problem), problems.get(0));
  }

  @Test
  void oneRowAtATimeIsTooFewForKto() throws IOException {
    String why =
        "is 1, but method kto pairs each prompt with another row's answer: set it to 2 or more, or"
            + " loss_type to apo_zero_unpaired, which pairs none";
    RecipeFiles files = new RecipeFiles(temp);
    String one = BASE.replace("size: 2", "size: 1") + "method: kto\n" + JUDGED;
    assertEquals(List.of("a.yaml:5:19: 'micro_batch_size' " + why), files.problemsOf(one));
    assertEquals(
        List.of("a.yaml:5:19: 'micro_batch_size' " + why),
        files.problemsOf(one + "val_set_size: 5\n")); // the other follows it
    assertEquals(
        List.of("a.yaml:5:19: 'micro_batch_size' " + why, "a.yaml:9:18: 'eval_batch_size' " + why),
        files.problemsOf(one + "val_set_size: 5\neval_batch_size: 1\n"));
    Recipe unpaired = files.loadText(one + "loss_type: apo_zero_unpaired\nval_set_size: 5\n");
    assertEquals(1, unpaired.evaluation().evalBatchSize());
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "method: sft; beta: 0.3; datasets: [{path: rows.jsonl, type: alpaca}] | 'beta' has no effect"
            + " with method: sft",
        "method: kto; loss_weights: [2]; datasets: [{path: rows.jsonl, type: kto}] | 'loss_weights'"
            + " has no effect with method: kto",
        "method: dpo; discopop_tau: 0.1; datasets: [{path: rows.jsonl, type: dpo}] | 'discopop_tau'"
            + " has no effect with a loss_type that is not discopop",
        "method: dpo; f_alpha_divergence_coef: 0.1; datasets: [{path: rows.jsonl, type: dpo}] |"
            + " 'f_alpha_divergence_coef' has no effect with an f_divergence_type that is not"
            + " alpha_divergence",
        "method: orpo; ref_adapter: start; datasets: [{path: rows.jsonl, type: dpo}] | 'ref_adapter'"
            + " has no effect with method: orpo",
        "method: dpo; ref_adapter: start; lora_dropout: 0.1; datasets: [{path: rows.jsonl, type:"
            + " dpo}] | 'lora_dropout' drops from what is trained and not from the reference: the two"
            + " differ from the first step on; 0 is usual here",
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

  private Recipe tiny(String method, String... sets) throws IOException {
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
            + "bnb_4bit_compute_dtype: float32\n",
        sets);
  }

  private static String run(Recipe recipe) {
    ByteArrayOutputStream told = new ByteArrayOutputStream();
    new RecipeRun(recipe, new PrintStream(told, true, StandardCharsets.UTF_8), false).run();
    return told.toString(StandardCharsets.UTF_8);
  }

  private double firstLoss(String output) throws IOException {
    String line = Files.readAllLines(temp.resolve(output).resolve("metrics.jsonl")).get(0);
    return JsonMapper.builder().build().readTree(line).get("loss").asDouble();
  }

  private byte[] weights(String output) throws IOException {
    return Files.readAllBytes(temp.resolve(output).resolve(AdapterStore.WEIGHTS));
  }

  private String to(String output) {
    return "output_dir=" + temp.resolve(output);
  }

  /** Where it stopped on the way too: against that adapter, not against the checkpoint's. */
  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "dpo | 0.6931471805599453 | 1e-15",
        "dpo; use_dora: true | 0.6931471805599453 | 1e-15",
        "dpo; precompute_ref_log_probs: true | 0.6931471805599453 | 1e-6",
        "kto | 0.5 | 1e-15",
        "kto; loss_type: apo_zero_unpaired; precompute_ref_log_probs: true | 0.5 | 1e-6",
      })
  void aRunThatBeginsWithAnAdapterIsMeasuredAgainstIt(String lines, double loss, double tolerance)
      throws IOException {
    run(tiny(lines.contains("dora") ? "simpo\nuse_dora: true" : "simpo", to("first")));
    String more = lines.replace("; ", "\n") + "\nlora_model_dir: first\nsave_steps: 3";
    String told = run(tiny(more, to("whole")));
    assertTrue(
        told.contains(
            "reference: the model with its adapter as it begins, that of " + temp.resolve("first")),
        told);
    assertEquals(lines.contains("precompute"), !told.contains(" (a frozen copy, 0."), told);
    assertEquals(loss, firstLoss("whole"), tolerance);
    Directories.copy(temp.resolve("whole/checkpoint-3"), temp.resolve("cut/checkpoint-3"));
    run(tiny(more + "\nresume_from_checkpoint: auto", to("cut")));
    assertArrayEquals(weights("whole"), weights("cut"));
    assertFalse(Arrays.equals(weights("first"), weights("whole")));
  }

  @Test
  void anAdapterThatHasChangedSinceIsNoReferenceToGoOnWith() throws IOException {
    run(tiny("simpo", to("first")));
    String more = "dpo\nlora_model_dir: first\nsave_steps: 3";
    run(tiny(more, to("whole")));
    run(tiny("simpo\nbeta: 1", to("other")));
    Directories.copy(temp.resolve("whole/checkpoint-3"), temp.resolve("cut/checkpoint-3"));
    Files.write(temp.resolve("first").resolve(AdapterStore.WEIGHTS), weights("other"));
    Recipe again = tiny(more + "\nresume_from_checkpoint: auto", to("cut"));
    String problem = assertThrows(InvalidInputException.class, () -> run(again)).getMessage();
    assertTrue(problem.contains("'weights of lora_model_dir' was "), problem);
  }

  @Test
  void theBaseMayBeTheReferenceOfARunThatBeginsWithAnAdapter() throws IOException {
    run(tiny("simpo", to("first")));
    for (String how : List.of("", "\nprecompute_ref_log_probs: true")) {
      String output = "base" + how.length();
      String told = run(tiny("dpo\nlora_model_dir: first\nref_adapter: none" + how, to(output)));
      assertTrue(
          told.contains("reference: the base, which is the model with its adapter off"), told);
      assertTrue(Math.abs(Math.log(2) - firstLoss(output)) > 1e-3, "" + firstLoss(output));
    }
    assertEquals(firstLoss("base0"), firstLoss("base31"), 1e-5);
  }

  @Test
  void planningCountsTheCopyThatIsTheReference() throws IOException {
    run(tiny("simpo", to("first")));
    String more = "dpo\nlora_model_dir: first";
    long trained = planned(more, Component.TRAINED);
    assertTrue(trained > 1000, trained + " bytes");
    assertEquals(trained, planned(more, Component.FROZEN_ADAPTER));
    assertEquals(0, planned(more + "\nref_adapter: none", Component.FROZEN_ADAPTER));
    String known = more + "\nprecompute_ref_log_probs: true";
    assertEquals(0, planned(known, Component.FROZEN_ADAPTER));
  }

  /** The copy is where its modules are, each part of it. */
  @Test
  void aModelOverSeveralDevicesHasTheCopyInParts() throws IOException {
    run(tiny("simpo", to("first")));
    String more = "dpo\nlora_model_dir: first\ngradient_accumulation_steps: 2";
    run(tiny(more, to("whole")));
    String two =
        more
            + "\ndevice_map: {model.embed_tokens: 'cpu:1', model.layers.0: 'cpu:1', model.layers.1:"
            + " 'cpu:2', model.norm: 'cpu:2', lm_head: 'cpu:2'}";
    Recipe split = tiny(two, to("split"));
    DevicePlan devices =
        RecipePlan.read(split, new PrintStream(new ByteArrayOutputStream()), List.of())
            .devices()
            .orElseThrow();
    assertEquals(2, devices.uses().size());
    for (DeviceUse use : devices.uses()) {
      long trained = use.bytes().get(Component.TRAINED);
      assertEquals(trained, use.bytes().get(Component.FROZEN_ADAPTER), use.toString());
    }
    run(split);
    assertEquals(Math.log(2), firstLoss("split"), 1e-15);
    assertArrayEquals(weights("whole"), weights("split"));
  }

  private long planned(String lines, Component component) throws IOException {
    PrintStream nowhere = new PrintStream(new ByteArrayOutputStream());
    return RecipePlan.read(tiny(lines), nowhere, List.of()).plan().bytes(Phase.TRAIN, component);
  }

  /** By every method a run is trained, logged and told of; the rewards of the rows part. */
  @ParameterizedTest
  @ValueSource(
      strings = {
        "dpo",
        "dpo\nprecompute_ref_log_probs: true",
        "dpo\nadapter: none\nprecompute_ref_log_probs: true",
        "kto",
        "kto\nloss_type: apo_zero_unpaired\nadapter: none\nprecompute_ref_log_probs: true",
        "dpo\nloss_type: [apo_zero, sft]\nloss_weights: [1, 0.5]",
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
    assertEquals(!method.contains("kto"), step.has("rewards/accuracies"));
    assertEquals(method.equals("kto"), step.has("kl"));
    assertEquals(
        method.contains("orpo") || method.equals("cpo") || method.contains("sft"),
        step.has("nll_loss"),
        step.toString());
    String console = told.toString(StandardCharsets.UTF_8);
    assertTrue(console.contains("rewards/margins "), console);
    assertEquals(
        method.contains("precompute"), console.contains("reference: asked about 10 rows in "));
    String page = Files.readString(Report.write(output));
    assertTrue(page.contains("Reward margin"), method);
    assertTrue(page.contains("data-curve=\"rewards\""), method);
  }

  /** A pair is a good answer and a bad one. */
  @Test
  void ktoTakesPairsApart() throws IOException {
    String text = tiny("kto").resolvedYaml();
    RecipeFiles files = new RecipeFiles(temp);
    files.write("rows.jsonl", PAIR_ROWS);
    Recipe recipe = files.loadText(text.replace("unpaired_preference", "preference"));
    Inspection found = Inspection.of(recipe, 2);
    assertEquals(10, found.tokens().rows());
    assertEquals(List.of("ayes", "ano"), texts(found));
    run(recipe);
  }

  private static List<String> texts(Inspection found) {
    return found.samples().stream()
        .map(sample -> sample.stream().map(TokenText::text).collect(Collectors.joining()))
        .map(sample -> sample.replaceAll("\\W.*", ""))
        .toList();
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
