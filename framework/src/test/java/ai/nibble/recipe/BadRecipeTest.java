package ai.nibble.recipe;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTimeout;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.InvalidInputException;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** What must be refused, with one located line each. */
final class BadRecipeTest {
  @TempDir Path temp;
  private RecipeFiles files;

  @BeforeEach
  void makeFiles() throws IOException {
    files = new RecipeFiles(temp);
  }

  private void refused(String more, String expected) throws IOException {
    assertEquals(List.of(expected), files.problems(more));
  }

  @Test
  void aTagIsRefusedAndLoadsNoClass() throws IOException {
    refused(
        "seed: !!javax.script.ScriptEngineManager [!!java.net.URL [x]]\n",
        "a.yaml:6:7: the tag '!!javax.script.ScriptEngineManager': tags are not allowed; remove"
            + " it");
  }

  @Test
  void aliasesThatMultiplyAreRefused() throws IOException {
    StringBuilder bomb = new StringBuilder("a: &a [x, x, x, x, x, x, x, x, x, x]\n");
    for (char c = 'b'; c <= 'z'; c++) {
      char before = (char) (c - 1);
      String ten = ("*" + before + ", ").repeat(9) + "*" + before;
      bomb.append(c).append(": &").append(c).append(" [").append(ten).append("]\n");
    }
    List<String> problems = files.problems(bomb.toString());
    assertEquals(1, problems.size());
    assertTrue(
        problems.get(0).contains("more than 10000 values, aliases expanded"), problems.get(0));
  }

  @Test
  void anAliasOfWhatContainsItIsRefused() throws IOException {
    refused(
        "report_to: &a [*a]\n",
        "a.yaml:6:16: the alias '*a' has no anchor before it: define it first");
  }

  @ParameterizedTest
  @ValueSource(strings = {"[", "{a: ", "- "})
  void deepNestingIsRefusedWithoutOverflowingTheStack(String level) {
    assertTimeout(
        Duration.ofSeconds(5),
        () -> {
          List<String> problems = files.problems("seed: \n  " + level.repeat(10_000) + "\n");
          assertEquals(1, problems.size());
          assertTrue(problems.get(0).contains("nested deeper than 50 levels"), problems.get(0));
        });
  }

  @Test
  void aFileThatIsNoRecipeBySizeIsNotRead() throws IOException {
    Path large = temp.resolve("large.yaml");
    Files.write(large, new byte[50_000_000]);
    assertTimeout(
        Duration.ofSeconds(5),
        () -> {
          List<String> problems = files.problemsOf(large);
          assertTrue(problems.get(0).contains("larger than a recipe may be (1 MiB)"));
        });
  }

  @Test
  void aDuplicateKeyNamesBothLines() throws IOException {
    refused(
        "seed: 1\nlora_r: 8\nseed: 2\n",
        "a.yaml:8:1: the key 'seed' stands twice, here and at line 6: keep one");
  }

  @Test
  void anUnknownKeyBringsTheNearestOne() throws IOException {
    refused(
        "learnig_rate: 1\n",
        "a.yaml:6:1: unknown key 'learnig_rate' (did you mean 'learning_rate'?):"
            + " recipes/README.md lists all keys");
  }

  @Test
  void anUnknownKeyOfADatasetBringsTheNearestOne() throws IOException {
    refused(
        "test_datasets:\n  - path: test.jsonl\n    tpye: alpaca\n    type: alpaca\n",
        "a.yaml:8:5: unknown key 'test_datasets.0.tpye' (did you mean 'type'?), expected one of"
            + " [path, type, split, columns, limit, weight]");
  }

  @Test
  void aWrongChoiceBringsTheNearestOne() throws IOException {
    refused(
        "bnb_4bit_quant_type: nf5\n",
        "a.yaml:6:22: 'bnb_4bit_quant_type' is 'nf5', expected one of [nf4, fp4] (did you mean"
            + " 'nf4'?)");
  }

  /** Each line: the recipe's sixth line, and the value part of the one problem. */
  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '`',
      value = {
        "lora_r: 0 | 'lora_r' is '0', expected a whole number >= 1 and <= 65536",
        "lora_r: -3 | 'lora_r' is '-3', expected a whole number >= 1 and <= 65536",
        "lora_r: 16.0 | 'lora_r' is '16.0', expected a whole number >= 1 and <= 65536",
        "lora_r: \"16\" | 'lora_r' is the text \"16\", expected a whole number >= 1 and <= 65536:"
            + " remove the quotes",
        "lora_r: yes | 'lora_r' is 'yes', expected a whole number >= 1 and <= 65536",
        "lora_r: 010 | 'lora_r' is '010', expected a whole number >= 1 and <= 65536 in plain"
            + " digits, without leading zeros, underscores or prefixes",
        "max_steps: 1_000 | 'max_steps' is '1_000', expected a whole number >= 1 in plain digits,"
            + " without leading zeros, underscores or prefixes",
        "max_steps: 0x1F | 'max_steps' is '0x1F', expected a whole number >= 1 in plain digits,"
            + " without leading zeros, underscores or prefixes",
        "max_steps: 4294967297 | 'max_steps' is '4294967297', expected a whole number >= 1",
        "seed: 99999999999999999999 | 'seed' is '99999999999999999999', expected a whole number"
            + " >= 0",
        "lora_alpha: 0 | 'lora_alpha' is '0', expected a number > 0",
        "lora_alpha: .nan | 'lora_alpha' is '.nan', expected a number > 0",
        "lora_alpha: .inf | 'lora_alpha' is '.inf', expected a number > 0",
        "lora_alpha: 1e999 | 'lora_alpha' is '1e999', expected a number > 0",
        "lora_dropout: 1.0 | 'lora_dropout' is '1.0', expected a number >= 0 and < 1",
        "lora_dropout: | 'lora_dropout' is empty, expected a number >= 0 and < 1",
        "micro_batch_size: 0 | 'micro_batch_size' is '0', expected a whole number >= 1 and <="
            + " 65536",
        "use_rslora: yes | 'use_rslora' is 'yes', expected true or false",
        "use_rslora: 'true' | 'use_rslora' is the text \"true\", expected true or false",
        "use_rslora: [] | 'use_rslora' is an empty list, expected true or false",
        "roles_to_train: [no] | 'roles_to_train.0' is 'no', expected text (it is a boolean for some"
            + " YAML readers): put it in quotes",
        "chat_template: 007 | 'chat_template' is '007', expected a path (it"
            + " is a different number for different YAML readers): put it in quotes",
        "bnb_4bit_blocksize: 100 | 'bnb_4bit_blocksize' is '100', expected one of [32, 64, 128,"
            + " 256, 512, 1024, 2048, 4096]",
        "bnb_4bit_compute_dtype: int8 | 'bnb_4bit_compute_dtype' is 'int8', which is an integer"
            + " type, which cannot hold activations or gradients; use auto, bfloat16, float16 or"
            + " float32 (the weights are 4-bit by 'load_in_4bit')",
        "method: ppo | 'method' is 'ppo', which is not supported yet: what is supported is [sft,"
            + " pretrain, dpo, orpo, kto, simpo, cpo]",
        "rl: ipo | 'method' is 'ipo', which is a loss of another method: use method: dpo with"
            + " loss_type: ipo",
        "loss_type: orpo | 'loss_type' is 'orpo', which is a method of its own: set method to it, and"
            + " remove loss_type",
        "device_map: rocm:0 | 'device_map' is 'rocm:0', which is not supported: use cpu or cuda (an"
            + " NVIDIA GPU)",
        "device_map: [cpu] | 'device_map' is a list, expected one of [auto, cpu, cuda, cuda:N] or a"
            + " device for each module",
        "val_set_size: 1.5 | 'val_set_size' is '1.5', expected a fraction below 1 or a whole number"
            + " of rows",
        "lora_target_modules: '[' | 'lora_target_modules' is the text \"[\", expected 'all-linear',"
            + " a list of module names or a regular expression: a character class is not closed",
        "lora_target_modules: all-liner | 'lora_target_modules' is 'all-liner', expected"
            + " 'all-linear', a list of module names or a regular expression (did you mean"
            + " 'all-linear'?)",
        "lora_target_modules: [] | 'lora_target_modules' is an empty list, expected a list of at"
            + " least 1 (each text)",
        "lora_target_modules: [q_proj, k_proj, q_proj] | 'lora_target_modules.2' is 'q_proj', which"
            + " repeats an entry: remove it",
        "exclude_modules: all-linear | 'exclude_modules' is 'all-linear', which is no module's"
            + " name: leave nothing out",
        "exclude_modules: [lm_hed] | 'exclude_modules': 'lm_hed' matches none of the model's 224"
            + " modules that can be adapted, expected one of [down_proj (32), gate_proj (32),"
            + " k_proj (32), o_proj (32), q_proj (32), up_proj (32), v_proj (32)]",
        "layers_pattern: [h] | 'layers_pattern': layers_pattern is [h] without"
            + " layers_to_transform, expected both: add the layers' numbers",
        "loftq_config: {loftq_bits: 8} | 'loftq_config.loftq_bits' is '8', expected one of [4]",
        "loftq_config: {loftq_iter: 0} | 'loftq_config.loftq_iter' is '0', expected a whole number"
            + " >= 1 and <= 100",
        "init_lora_weights: false | 'init_lora_weights' is 'false', which is PEFT's beginning for"
            + " tests, which changes the model at random: use true",
        "tokens: [''] | 'tokens.0' is the text \"\", expected text that is not blank",
        "optimizer: adam_8bit | 'optimizer' is 'adam_8bit', expected one of [adamw, adamw_8bit,"
            + " paged_adamw_32bit, paged_adamw_8bit, sgd, lion, adafactor, muon] (did you mean"
            + " 'adamw_8bit'?)",
        "rank_pattern: {q_proj: 0} | 'rank_pattern.q_proj' is '0', expected a whole number >= 1 and"
            + " <= 65536",
        "rank_pattern: {'(': 4} | 'rank_pattern.(' is no regular expression: Unclosed group",
        "lora_target_modules: [all-linear] | 'lora_target_modules' is a list, expected"
            + " 'all-linear', a list of module names or a regular expression: 'all-linear' stands"
            + " alone, not in a list",
        "report_to: [wandb] | 'report_to.0' is 'wandb', which is not supported yet: use"
            + " tensorboard, jfr or []",
        "report_to: [micrometer] | 'report_to.0' is 'micrometer', which is not for a recipe: an"
            + " application's run is given a MicrometerMetrics with its registry (docs/runs.md);"
            + " here use tensorboard, jfr or []",
        "sample_packing: 512 | 'sample_packing' is '512', expected true or false",
        "added_tokens_overrides: {5: x} | 'added_tokens_overrides' is a map, which is not supported"
            + " yet (other texts for reserved tokens): add new ones with tokens, which take spare"
            + " rows of the embedding where it has some",
        "init_lora_weights: eva | 'init_lora_weights' is 'eva', which is not supported yet: use"
            + " true, gaussian, orthogonal, pissa, pissa_niter_N, olora or loftq",
        "optimizer: paged_lion_8bit | 'optimizer' is 'paged_lion_8bit', which is not supported yet,"
            + " only AdamW's memory is paged: use paged_adamw_32bit, paged_adamw_8bit, or the same"
            + " optimizer without 'paged_'",
        "gradient_checkpointing: offload_disk | 'gradient_checkpointing' is 'offload_disk', which"
            + " is not supported: use offload, which keeps them in the main memory",
        "quantization_bit: 3 | 'quantization_bit' is '3', expected one of [4, 8]; here it is"
            + " 'load_in_4bit'",
        "eval_steps: 5 | 'eval_steps' has nothing to evaluate on: add 'test_datasets' or"
            + " 'val_set_size'",
        "load_in_4bit: false | 'load_in_4bit' is 'false', but adapter qlora trains on a 4-bit base:"
            + " remove it, or use adapter: lora",
        "load_in_8bit: true | 'load_in_8bit' is 'true', but adapter qlora trains on a 4-bit base:"
            + " remove it, or use adapter: lora",
        "early_stopping_patience: 0 | 'early_stopping_patience' is '0', expected a whole number >="
            + " 1 and <= 1000000000",
        "metric_for_best_model: eval_accuracy | 'metric_for_best_model' is 'eval_accuracy', which"
            + " is not supported yet: use eval_loss",
        "greater_is_better: true | 'greater_is_better' is 'true', which is wrong for eval_loss,"
            + " which is better when it is lower: remove it",
        "loss_watchdog_nan: ignore | 'loss_watchdog_nan' is 'ignore', expected one of [skip, stop]",
        "loss_watchdog_spike_factor: 1 | 'loss_watchdog_spike_factor' is '1', expected a number >"
            + " 1",
        "llm_int8_threshold: -1 | 'llm_int8_threshold' is '-1', expected a number >= 0",
        "llm_int8_skip_modules: [mlp.qproj] | 'llm_int8_skip_modules': no module is named"
            + " 'mlp.qproj', expected names such as down_proj or layers.0",
      })
  void aValueThatDoesNotFitSaysWhatDoes(String line, String expected) throws IOException {
    List<String> problems = files.problems(line + "\n");
    assertEquals(1, problems.size(), problems.toString());
    String place = problems.get(0).split(": ", 2)[0];
    assertTrue(place.matches("a\\.yaml:6:\\d+"), problems.get(0));
    assertEquals(expected, problems.get(0).split(": ", 2)[1]);
  }

  @Test
  void packingNeedsALengthOfPacksAndOneWayToBringRowsTogether() throws IOException {
    String text = RecipeFiles.LEAST.replace("sequence_len: 128\n", "");
    assertEquals(
        List.of("a.yaml: 'sequence_len' is missing, expected a whole number >= 2 and <= 1048576"),
        files.problemsOf(text + "packing: true\n"));
    assertEquals(
        List.of(
            "a.yaml:7:18: 'group_by_length' and 'sample_packing' (a.yaml:6:17) each say which rows"
                + " come together: keep one"),
        files.problems("sample_packing: true\ngroup_by_length: true\n"));
  }

  @ParameterizedTest
  @ValueSource(strings = {"-1e-4", "0", ".nan", ".inf", "-.inf", "1e999", "1.5"})
  void aLearningRateOutOfRangeIsRefused(String rate) throws IOException {
    assertEquals(
        List.of("a.yaml:3:16: 'learning_rate' is '" + rate + "', expected a number > 0 and <= 1"),
        files.problemsOf(RecipeFiles.LEAST.replace("1e-4", rate)));
  }

  @ParameterizedTest
  @CsvSource({"''", "'# only a comment\n'", "'---\n'", "'~\n'"})
  void anEmptyFileIsRefused(String text) throws IOException {
    assertEquals(
        List.of("a.yaml: the file is empty, expected keys: recipes/README.md lists them"),
        files.problemsOf(text));
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '`',
      value = {
        "`- a\n`|a.yaml:1:1: the file is a list, expected a map of keys",
        "`just text\n`|a.yaml:1:1: the file is 'just text', expected a map of keys",
        "`seed: 1\n\tlora_r: 2\n`|a.yaml:2:1: not YAML: a tab where a value or indentation should"
            + " be: use spaces",
        "`\uFEFFseed: 1\n`|a.yaml:1:1: the file starts with a byte-order mark: save it as UTF-8"
            + " without one",
        "`seed: 1\n---\nseed: 2\n`|a.yaml:3:1: a second document starts here: expected one document"
            + " a file",
        "`seed: \u0001\n`|a.yaml:1:7: not YAML: the character U+0001 is not allowed: remove it",
      })
  void whatIsNotOneMapIsRefusedWhereItIs(String text, String expected) throws IOException {
    assertEquals(List.of(expected), files.problemsOf(text));
  }

  @Test
  void invalidUtf8IsLocated() throws IOException {
    byte[] bytes = "seed: 1\noutput_dir: gr\u00fcn\n".getBytes(StandardCharsets.ISO_8859_1);
    Path file = Files.write(temp.resolve("a.yaml"), bytes);
    assertEquals(
        List.of("a.yaml:2:15: byte 0xfc is not UTF-8: save the file in UTF-8"),
        files.problemsOf(file));
  }

  @Test
  void unclosedThingsAreLocated() throws IOException {
    for (String text : List.of("seed: [1\n", "seed: 'x\n", "a: b: c\n", "{\n", "? [a]\n: b\n")) {
      List<String> problems = files.problemsOf(text);
      assertEquals(1, problems.size(), problems.toString());
      assertTrue(problems.get(0).matches("a\\.yaml:\\d:\\d+: not YAML: .*"), problems.get(0));
    }
  }

  @Test
  void allProblemsAreReportedAtOnceInTheFilesOrder() throws IOException {
    List<String> problems =
        files.problemsOf(
            """
            sequence_len: 1
            datasets: [{path: nowhere.jsonl, type: alpca}]
            bogus: 1
            learning_rate: fast
            lora_rank: 8
            lora_r: 8
            bf16: true
            fp16: true
            """);
    List<String> starts = problems.stream().map(line -> line.split(": ", 2)[0]).toList();
    assertEquals(
        List.of(
            "a.yaml:1:15",
            "a.yaml:2:19",
            "a.yaml:2:40",
            "a.yaml:3:1",
            "a.yaml:4:16",
            "a.yaml:6:1",
            "a.yaml:8:1",
            "a.yaml",
            "a.yaml"),
        starts,
        problems.toString());
    assertTrue(problems.contains("a.yaml: 'base_model' is missing, expected a path"));
    assertTrue(
        problems.contains(
            "a.yaml:8:1: 'fp16' and 'bf16' (a.yaml:7:1) both set 'bnb_4bit_compute_dtype': keep"
                + " one"));
  }

  /** Each line: lines of a recipe with two faults, and the keys of both. */
  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '`',
      value = {
        "test_datasets: [{path: gone, type: alpca}] | test_datasets.0.path, test_datasets.0.type",
        "test_datasets: [{path: test.jsonl, type: alpca}, {path: gone, type: alpaca}]"
            + " | test_datasets.0.type, test_datasets.1.path",
        "test_datasets: [{path: gone, type: alpaca}, {path: test.jsonl, limit: 1}]"
            + " | test_datasets.0.path, test_datasets.1.type",
        "test_datasets: [x, {path: gone, type: alpaca}] | test_datasets.0, test_datasets.1.path",
        "test_datasets: [{type: alpaca}, {path: gone, type: alpaca}]"
            + " | test_datasets.0.path, test_datasets.1.path",
        "test_datasets: [{path: model, type: alpaca, limit: 0}]"
            + " | test_datasets.0.path, test_datasets.0.limit",
        "generation_eval: {path: gone, metric: exact} | generation_eval.path,"
            + " generation_eval.metric",
        "lora_target_modules: [q_prj]; layers_to_transform: [2, 99]"
            + " | lora_target_modules, layers_to_transform",
        "lora_target_modules: '['; layers_to_transform: [2, 99]"
            + " | lora_target_modules, layers_to_transform",
        "lora_target_modules: [q_prj, v_proj]; rank_pattern: {k_prj: 4}"
            + " | lora_target_modules, rank_pattern",
        "layers_to_transform: [99]; alpha_pattern: {k_prj: 4} | layers_to_transform, alpha_pattern",
        "rank_pattern: {q_proj: 0}; layers_to_transform: [99]"
            + " | rank_pattern.q_proj, layers_to_transform",
        "rank_pattern: {'(': 4}; alpha_pattern: {k_prj: 4} | rank_pattern.(, alpha_pattern",
      })
  void oneFaultHidesNoOther(String lines, String keys) throws IOException {
    List<String> problems = files.problems(lines.replace("; ", "\n") + "\n");
    List<String> named =
        problems.stream().map(problem -> problem.replaceAll("^[^']*'([^']*)'.*$", "$1")).toList();
    assertEquals(List.of(keys.split(", ")), named, problems.toString());
  }

  @Test
  void everyFileThatIsMissingIsNamedWhateverElseIsWrong() throws IOException {
    String list = "datasets: [{path: missing, type: alpca}, {path: missing.jsonl, type: alpaca}]\n";
    List<String> problems = files.problemsOf(RecipeFiles.LEAST.replaceFirst("datasets:.*\n", list));
    assertEquals(3, problems.size(), problems.toString());
    assertTrue(problems.get(0).startsWith("a.yaml:2:19: 'datasets.0.path': nothing at"));
    assertTrue(problems.get(1).startsWith("a.yaml:2:34: 'datasets.0.type' is 'alpca'"));
    assertTrue(problems.get(2).startsWith("a.yaml:2:49: 'datasets.1.path': nothing at"));
  }

  @Test
  void anIntegerComputeDtypeIsRefusedWithTheReason() throws IOException {
    List<String> problems = files.problems("bnb_4bit_compute_dtype: torch.int8\n");
    assertEquals(1, problems.size());
    assertTrue(problems.get(0).startsWith("a.yaml:6:25: 'bnb_4bit_compute_dtype' is"));
    assertTrue(problems.get(0).contains("cannot hold activations or gradients"));
  }

  @ParameterizedTest
  @CsvSource({
    "warmup_steps: 3, warmup_ratio: 0.1",
    "save_steps: 3, saves_per_epoch: 1",
  })
  void twoWaysToSayOneThingAreRefused(String a, String b) throws IOException {
    String first = a.split(":")[0];
    String second = b.split(":")[0];
    List<String> problems = files.problems(a + "\n" + b + "\n");
    assertEquals(1, problems.size());
    String expected = "'" + second + "' and '" + first + "' (a.yaml:6:";
    assertTrue(problems.get(0).contains(expected), problems.get(0));
  }

  /** Each line: keys of a recipe that has rows to evaluate on, and the start of the one problem. */
  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '`',
      value = {
        "eval_steps: 4; save_steps: 6; load_best_model_at_end: true | 'save_steps' is 6, expected a"
            + " multiple of 'eval_steps', 4, with 'load_best_model_at_end': a step can be the best"
            + " only if it was evaluated",
        "eval_steps: 4; load_best_model_at_end: true | 'load_best_model_at_end' needs checkpoints:"
            + " set 'save_steps', to a multiple of 'eval_steps'",
        "save_steps: 4; load_best_model_at_end: true | 'load_best_model_at_end' needs evaluations"
            + " on the way: set 'eval_steps'",
        "early_stopping_patience: 2 | 'early_stopping_patience' needs evaluations on the way: set"
            + " 'eval_steps'",
      })
  void theBestStepIsOneThatIsEvaluatedAndSaved(String lines, String expected) throws IOException {
    String evaluated = "val_set_size: 0.5\n" + lines.replace("; ", "\n") + "\n";
    List<String> problems = files.problems(evaluated);
    assertEquals(1, problems.size(), problems.toString());
    assertEquals(expected, problems.get(0).split(": ", 2)[1]);
    files.load("val_set_size: 0.5\neval_steps: 3\nsave_steps: 6\nload_best_model_at_end: true\n");
  }

  @Test
  void aRegularExpressionThatWouldOverflowTheStackIsRefused() throws IOException {
    String deep = "(".repeat(100_000) + ")".repeat(100_000);
    List<String> problems = files.problems("lora_target_modules: '" + deep + "'\n");
    assertTrue(problems.get(0).endsWith("it is longer than 8192 characters"));
    assertTrue(problems.get(0).length() < 400);
    deep = "(".repeat(200) + ")".repeat(200);
    problems = files.problems("lora_target_modules: '" + deep + "'\n");
    assertTrue(problems.get(0).endsWith("groups nested deeper than 100"));
    problems = files.problems("rank_pattern: {'" + deep + "': 4}\n");
    assertTrue(problems.get(0).endsWith("groups nested deeper than 100"));
  }

  /** 3,000 recipes with a few bytes changed: each loads or is refused, within a second or so. */
  @Test
  void noChangeOfBytesCausesAnythingButProblems() throws IOException {
    byte[] sound =
        (RecipeFiles.LEAST
                + "lora_target_modules: &a [q_proj, 'v_proj']\n"
                + "rank_pattern: {q_proj: 1, \"v_proj\": 2}\n"
                + "test_datasets:\n"
                + "  - path: test.jsonl\n"
                + "    type: |-\n"
                + "      text\n"
                + "seed: 0x1\n")
            .getBytes(StandardCharsets.UTF_8);
    String marks = "\t\n :-[]{}&*!|>'\"%@`,?#~<=.0é\u0000\u2028";
    byte[] spice = marks.getBytes(StandardCharsets.UTF_8);
    Random random = new Random(7);
    int refused = 0;
    int loaded = 0;
    for (int i = 0; i < 3_000; i++) {
      byte[] bytes = sound.clone();
      for (int n = 1 + random.nextInt(4); n > 0; n--) {
        bytes[random.nextInt(bytes.length)] = spice[random.nextInt(spice.length)];
      }
      Path file = Files.write(temp.resolve("a.yaml"), bytes);
      try {
        RecipeLoader.load(file, List.of("seed=3", "datasets.0.limit=" + (char) bytes[i % 90]));
        loaded++;
      } catch (InvalidInputException e) {
        refused++;
        for (String line : e.problems()) {
          assertEquals(1, line.lines().count(), line);
        }
      }
    }
    assertEquals(3_000, refused + loaded);
    assertTrue(refused > 1_000 && loaded > 0, refused + " refused, " + loaded + " loaded");
  }

  @Test
  void controlCharactersCannotForgeALine() throws IOException {
    List<String> problems = files.problems("lora_r: \"1\\n\\e[31mfake: all fine\\u202e\"\n");
    assertEquals(1, problems.size());
    assertTrue(problems.get(0).contains("1\\n\\u001b[31mfake: all fine\\u202e"), problems.get(0));
  }
}
