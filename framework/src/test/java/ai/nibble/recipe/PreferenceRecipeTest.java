package ai.nibble.recipe;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.train.objective.DirectPreference.LossType;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

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
}
