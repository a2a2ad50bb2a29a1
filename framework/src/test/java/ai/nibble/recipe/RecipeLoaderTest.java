package ai.nibble.recipe;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.data.EncodingSettings.ExcessLength;
import ai.nibble.data.EncodingSettings.TrainOnEos;
import ai.nibble.lora.TargetModules;
import ai.nibble.model.Checkpointing;
import ai.nibble.quant.Quant4Config;
import ai.nibble.quant.Quant4Type;
import ai.nibble.quant.Quant8Config;
import ai.nibble.quant.SkipModules;
import ai.nibble.recipe.Quantization.ComputeDtype;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/** What a recipe says, and how its parts come together. */
final class RecipeLoaderTest {
  @TempDir Path temp;
  private RecipeFiles files;

  @BeforeEach
  void makeFiles() throws IOException {
    files = new RecipeFiles(temp);
  }

  @Test
  void rowsBeyondTheModelsContextAreNoticed() throws IOException {
    assertEquals(List.of(), files.load("", "sequence_len=2048").notices());
    assertEquals(
        List.of(
            "--set sequence_len=2049: 'sequence_len' is 2049, more than the model's"
                + " max_position_embeddings, 2048: it may compute nonsense beyond, and generates no"
                + " further"),
        files.load("", "sequence_len=2049").notices());
  }

  @Test
  void theDefaultsAreThoseThatUsersKnow() throws IOException {
    Recipe recipe = files.load("");
    assertEquals(Recipe.Method.SFT, recipe.method());
    assertEquals(Recipe.Adapter.QLORA, recipe.adapter());
    assertEquals(
        new Quantization(
            true, Quant4Type.NF4, true, ComputeDtype.AUTO, 64, false, 6, List.of(), false),
        recipe.quantization());
    assertEquals(16, recipe.lora().r());
    assertEquals(32, recipe.lora().alpha());
    assertEquals(0.05, recipe.lora().dropout());
    assertEquals(new TargetModules.AllLinear(), recipe.lora().targetModules());
    assertEquals(List.of("assistant"), recipe.data().rolesToTrain());
    assertEquals(TrainOnEos.TURN, recipe.data().trainOnEos());
    assertEquals(ExcessLength.RAISE, recipe.data().excessLengthStrategy());
    assertEquals(Optional.empty(), recipe.data().chatTemplate());
    assertEquals(
        new Training(
            1,
            1,
            Devices.of(1),
            1,
            Optional.empty(),
            Training.GradientCheckpointing.AUTO,
            KeptDequantized.AUTO,
            false,
            false,
            false,
            0),
        recipe.training());
    assertEquals(
        new Optimization(
            Optimization.OptimizerName.ADAMW,
            1e-4,
            0,
            0.9,
            0.999,
            1e-8,
            0,
            1,
            Optimization.LrScheduler.COSINE,
            Optional.empty(),
            0,
            0),
        recipe.optimization());
    assertEquals(List.of(Output.Reporter.TENSORBOARD), recipe.output().reportTo());
    assertEquals(42, recipe.seed());
    assertEquals(List.of(), recipe.notices());
  }

  @Test
  void pathsAreRelativeToTheRecipe() throws IOException {
    Recipe recipe = files.load("chat_template: rows.jsonl\n");
    assertEquals(files.path("model"), recipe.baseModel());
    assertEquals(files.path("rows.jsonl"), recipe.data().datasets().get(0).path());
    assertEquals(files.path("out"), recipe.output().outputDir());
    assertEquals(Optional.of(files.path("rows.jsonl")), recipe.data().chatTemplate());
  }

  @ParameterizedTest
  @CsvSource({"1e-4", "1.0e-4", "0.0001", ".0001", "+1E-4", "1.e-4"})
  void aLearningRateIsANumberInEveryUsualSpelling(String spelling) throws IOException {
    String text = RecipeFiles.LEAST.replace("1e-4", spelling);
    assertEquals(1e-4, files.loadText(text).optimization().learningRate());
  }

  @Test
  void everyKeyReadsBackFromTheResolvedRecipe() throws IOException {
    Recipe recipe =
        files.load(
            """
            adapter: lora
            load_in_4bit: true
            bnb_4bit_quant_type: fp4
            bnb_4bit_use_double_quant: false
            bnb_4bit_compute_dtype: float32
            bnb_4bit_blocksize: 4096
            device_map: cpu
            lora_r: 7
            lora_alpha: 0.1
            lora_dropout: 0
            lora_target_modules: [q_proj, 'k_proj']
            use_rslora: true
            init_lora_weights: gaussian
            rank_pattern: {'layers\\.3\\..*': 4, "k_proj|é: 🙂": 1}
            alpha_pattern: {q_proj: 1e-20, k_proj: 123456789.5}
            layers_to_transform: [0, 3]
            test_datasets:
              - {path: test.jsonl, type: text, limit: 5, columns: {text: "no", b: "a: b\\n"}}
              - {path: ., type: messages, split: test}
            chat_template: test.jsonl
            roles_to_train: [assistant, "on"]
            train_on_eos: last
            excess_length_strategy: truncate
            micro_batch_size: 3
            gradient_accumulation_steps: 5
            devices: [1, 0]
            num_epochs: 2.5
            gradient_checkpointing: block
            weight_decay: 0.01
            adam_beta1: 0.8
            adam_beta2: 0.95
            adam_epsilon: 1e-7
            max_grad_norm: 0
            lr_scheduler: linear
            warmup_ratio: 0.03
            evals_per_epoch: 2
            eval_batch_size: 9
            load_best_model_at_end: true
            metric_for_best_model: eval_loss
            early_stopping_patience: 4
            early_stopping_threshold: 0.01
            loss_watchdog_threshold: 12.5
            loss_watchdog_patience: 2
            loss_watchdog_nan: stop
            loss_watchdog_spike: skip
            loss_watchdog_spike_factor: 4
            loss_watchdog_plateau_steps: 50
            overwrite_output_dir: true
            save_steps: 11
            save_total_limit: 2
            logging_steps: 4
            report_to: []
            seed: 9223372036854775807
            """);
    String resolved = recipe.resolvedYaml();
    Path elsewhere = files.write("deep/down/resolved.yaml", resolved);
    Recipe again = RecipeLoader.load(elsewhere, List.of());
    assertEquals(recipe, again);
    assertEquals(resolved, again.resolvedYaml());
    assertEquals(List.of(), again.notices());
    for (String key : Schema.RECIPE.settings().keySet()) {
      assertTrue(resolved.contains("\n" + key + ":") || resolved.startsWith(key + ":"), key);
    }
    assertNotEquals(recipe, files.load(""));
  }

  @Test
  void theDefaultRecipeReadsBackToo() throws IOException {
    Recipe recipe = files.load("");
    assertEquals(recipe, files.loadText(recipe.resolvedYaml()));
  }

  @ParameterizedTest
  @ValueSource(strings = {".*\\.(?P<side>q|k)_proj", ".*\\.[0-9]{,2}\\..*\\Z", "(?i:.*[[]?Q_PROJ)"})
  void whatPythonTakesForARegexIsTaken(String regex) throws IOException {
    Lora lora =
        files
            .load("lora_target_modules: '" + regex + "'\nrank_pattern: {'" + regex + "': 4}\n")
            .lora();
    assertEquals(new TargetModules.Regex(regex), lora.targetModules());
    assertEquals(Map.of(regex, 4), lora.rankPattern());
  }

  @Test
  void targetsAreNamesARegexOrAllLinear() throws IOException {
    assertEquals(
        new TargetModules.Names(List.of("q_proj", "v_proj")),
        files.load("lora_target_modules: [q_proj, v_proj]\n").lora().targetModules());
    assertEquals(
        new TargetModules.Regex(".*_proj"),
        files.load("lora_target_modules: .*_proj\n").lora().targetModules());
    assertEquals(
        new TargetModules.AllLinear(), files.load("lora_target: all\n").lora().targetModules());
  }

  @Test
  void aSingleValueStandsForAListOfOne() throws IOException {
    Recipe recipe = files.load("roles_to_train: user\nlayers_to_transform: 2\nreport_to: none\n");
    assertEquals(List.of("user"), recipe.data().rolesToTrain());
    assertEquals(List.of(2), recipe.lora().layersToTransform());
    assertEquals(List.of(), recipe.output().reportTo());
  }

  /** Each line: what other tools write, and the resolved line that it becomes. */
  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "stage: sft | method: sft",
        "rl: sft | method: sft",
        "finetuning_type: lora | adapter: lora",
        "quantization_bit: 4 | load_in_4bit: true",
        "quantization_type: fp4 | bnb_4bit_quant_type: fp4",
        "double_quantization: false | bnb_4bit_use_double_quant: false",
        "use_bnb_nested_quant: false | bnb_4bit_use_double_quant: false",
        "bf16: true | bnb_4bit_compute_dtype: bfloat16",
        "bf16: auto | bnb_4bit_compute_dtype: auto",
        "fp16: false | bnb_4bit_compute_dtype: auto",
        "bnb_4bit_compute_dtype: torch.bfloat16 | bnb_4bit_compute_dtype: bfloat16",
        "lora_rank: 5 | lora_r: 5",
        "target_modules: [q_proj] | lora_target_modules: [q_proj]",
        "train_on_prompt: true | train_on_inputs: true",
        "assistant_only_loss: false | train_on_inputs: true",
        "completion_only_loss: True | train_on_inputs: false",
        "per_device_train_batch_size: 8 | micro_batch_size: 8",
        "per_device_eval_batch_size: 8 | eval_batch_size: 8",
        "num_train_epochs: 3 | num_epochs: 3",
        "optim: adamw_torch_fused | optimizer: adamw",
        "lr_scheduler_type: constant_with_warmup | lr_scheduler: constant",
        "enable_activation_checkpointing: true | gradient_checkpointing: block",
        "gradient_checkpointing: False | gradient_checkpointing: none",
        "gradient_checkpointing: unsloth | gradient_checkpointing: offload",
        "activation_offloading: true | gradient_checkpointing: offload",
        "enable_activation_offloading: false | gradient_checkpointing: auto",
        "optim: paged_adamw | optimizer: paged_adamw_32bit",
        "eval_strategy: no | evals_per_epoch: null",
      })
  void otherToolsNamesAreReadWithANotice(String written, String resolved) throws IOException {
    Recipe recipe = files.load(written + "\n");
    assertTrue(recipe.resolvedYaml().contains("\n" + resolved + "\n"), recipe.resolvedYaml());
    assertFalse(recipe.notices().isEmpty());
    for (String notice : files.relative(recipe.notices())) {
      assertTrue(notice.matches("a\\.yaml:6:\\d+: .*"), notice);
    }
  }

  @ParameterizedTest
  @EnumSource(Checkpointing.class)
  void everyWayOfCheckpointingMayBeAskedFor(Checkpointing mode) throws IOException {
    Recipe recipe =
        files.load("gradient_checkpointing: " + mode.name().toLowerCase(Locale.ROOT) + "\n");
    assertEquals(Optional.of(mode), recipe.training().gradientCheckpointing().mode());
  }

  @ParameterizedTest
  @ValueSource(strings = {"cutoff_len", "max_length", "max_seq_length"})
  void otherToolsNamesForRequiredKeysFillThem(String alias) throws IOException {
    Recipe recipe = files.loadText(RecipeFiles.LEAST.replace("sequence_len", alias));
    assertEquals(128, recipe.data().sequenceLen());
  }

  @ParameterizedTest
  @CsvSource({"added_tokens_overrides: {}", "added_tokens_overrides: null"})
  void whatIsNotSupportedYetMayBeSwitchedOff(String line) throws IOException {
    files.load(line.replace("''", "~") + "\n");
  }

  @Test
  void loraOnA4BitBaseIsQlora() throws IOException {
    assertTrue(files.load("adapter: lora\nload_in_4bit: true\n").quantization().loadIn4bit());
    assertFalse(files.load("adapter: lora\n").quantization().loadIn4bit());
  }

  @Test
  void loraOnAn8BitBaseIsLlmInt8() throws IOException {
    Recipe recipe = files.load("adapter: lora\nload_in_8bit: true\n");
    assertEquals(Optional.of(new Quant8Config()), recipe.quantization().config());
    assertEquals(List.of(), recipe.notices());
    recipe =
        files.load(
            "adapter: lora\nquantization_bit: 8\nllm_int8_threshold: 0\n"
                + "llm_int8_skip_modules: [down_proj, layers.0, lm_head]\n");
    assertEquals(
        Optional.of(new Quant8Config(0, List.of("down_proj", "layers.0", "lm_head"))),
        recipe.quantization().config());
  }

  @Test
  void int8SettingsWithoutInt8AreNoticed() throws IOException {
    List<String> notices =
        files
            .load("adapter: lora\nllm_int8_threshold: 4\nllm_int8_skip_modules: [q_proj]\n")
            .notices();
    assertEquals(2, notices.size(), notices.toString());
    assertTrue(
        notices.get(0).endsWith("'llm_int8_threshold' has no effect without 'load_in_8bit'"),
        notices.get(0));
    assertTrue(
        notices
            .get(1)
            .endsWith(
                "'llm_int8_skip_modules' has no effect without 'load_in_4bit' or 'load_in_8bit'"),
        notices.get(1));
  }

  /** As transformers has it: one list for both, whatever its name says. */
  @Test
  void modulesAreSkippedIn4BitsToo() throws IOException {
    Recipe recipe = files.load("bnb_4bit_skip_modules: [down_proj]\n");
    assertEquals(
        Optional.of(
            new Quant4Config(Quant4Type.NF4, 64, true, new SkipModules(List.of("down_proj")))),
        recipe.quantization().config());
    assertEquals(1, recipe.notices().size(), recipe.notices().toString());
  }

  @Test
  void theEvaluationBatchFollowsTheTrainingBatch() throws IOException {
    assertEquals(6, files.load("micro_batch_size: 6\n").evaluation().evalBatchSize());
    assertEquals(1, files.load("").evaluation().evalBatchSize());
  }

  @Test
  void anchorsServeWithinAFile() throws IOException {
    Recipe recipe =
        files.loadText(
            RecipeFiles.LEAST.replace("[{path", "[&rows {path")
                + "test_datasets: [{path: test.jsonl, type: &t alpaca}]\nreport_to: [tensorboard]\n"
                + "rank_pattern: &p {q_proj: 2}\nalpha_pattern: *p\nlora_r: &r 4\nseed: *r\n");
    assertEquals(Map.of("q_proj", 2.0), recipe.lora().alphaPattern());
    assertEquals(4, recipe.seed());
  }

  @Test
  void anAnchoredQuotedNumberIsStillText() throws IOException {
    assertTrue(files.problems("lora_r: &r \"4\"\n").get(0).contains("remove the quotes"));
    assertTrue(files.problems("lora_r: >-\n  4\n").get(0).contains("remove the quotes"));
  }

  @Test
  void includesComeInOrderAndTheRecipesOwnKeysLast() throws IOException {
    files.write(
        "parts/one.yaml", "lora_r: 1\nlora_alpha: 1\nrank_pattern: {q_proj: 1, k_proj: 1}\n");
    files.write("parts/two.yaml", "include: deeper/three.yaml\nlora_rank: 2\n");
    files.write("parts/deeper/three.yaml", "lora_r: 3\nlora_dropout: 0.3\nseed: 3\n");
    Recipe recipe =
        files.load(
            "include: [parts/one.yaml, parts/two.yaml]\n"
                + "rank_pattern: {k_proj: 9}\n"
                + "lora_dropout: 0\n");
    assertEquals(2, recipe.lora().r());
    assertEquals(1, recipe.lora().alpha());
    assertEquals(0, recipe.lora().dropout());
    assertEquals(3, recipe.seed());
    assertEquals(Map.of("q_proj", 1, "k_proj", 9), recipe.lora().rankPattern());
  }

  @Test
  void pathsInAnIncludedFileAreRelativeToIt() throws IOException {
    files.write("parts/rows.jsonl", "{}");
    files.write("parts/data.yaml", "test_datasets: [{path: rows.jsonl, type: alpaca}]\n");
    Recipe recipe = files.load("include: parts/data.yaml\n");
    assertEquals(files.path("parts/rows.jsonl"), recipe.data().testDatasets().get(0).path());
  }

  @Test
  void problemsInAnIncludedFileNameThatFile() throws IOException {
    files.write("parts/one.yaml", "seed: 1\nlora_r: 0\nbogus: 1\n");
    List<String> problems = files.problems("include: [parts/one.yaml, parts/none.yaml]\n");
    assertEquals(3, problems.size());
    assertTrue(problems.get(0).startsWith("a.yaml:6:27: 'parts/none.yaml' is not there"));
    assertTrue(problems.get(1).startsWith("parts/one.yaml:2:9: 'lora_r' is '0'"));
    assertTrue(problems.get(2).startsWith("parts/one.yaml:3:1: unknown key 'bogus'"));
  }

  @Test
  void includesThatGoRoundInACircleAreRefused() throws IOException {
    files.write("b.yaml", "include: a.yaml\n");
    assertEquals(
        List.of("b.yaml:1:10: 'a.yaml' includes itself: remove one of the includes"),
        files.problems("include: b.yaml\n"));
  }

  @Test
  void includesThatMultiplyAreRefused() throws IOException {
    for (int i = 0; i < 12; i++) {
      String next = i + 1 + ".yaml";
      files.write(i + ".yaml", "include: [" + next + ", ./" + next + "]\n");
    }
    files.write("12.yaml", "seed: 1\n");
    List<String> problems = files.problems("include: 0.yaml\n");
    assertTrue(problems.get(0).contains("100 files: flatten the includes"), problems.get(0));
  }

  @Test
  void setWinsAndReachesIntoLists() throws IOException {
    Recipe recipe =
        files.load(
            "lora_r: 4\nreport_to: [tensorboard]\n",
            "lora_rank=5",
            "datasets.0.type=messages",
            "test_datasets.0={path: " + files.path("test.jsonl") + ", type: text}",
            "rank_pattern.q_proj=3",
            "lora_target_modules=[q_proj, k_proj]",
            "learning_rate=2e-4");
    assertEquals(5, recipe.lora().r());
    assertEquals(Dataset.RowType.MESSAGES, recipe.data().datasets().get(0).type());
    assertEquals(files.path("test.jsonl"), recipe.data().testDatasets().get(0).path());
    assertEquals(Map.of("q_proj", 3), recipe.lora().rankPattern());
    assertEquals(
        new TargetModules.Names(List.of("q_proj", "k_proj")), recipe.lora().targetModules());
    assertEquals(2e-4, recipe.optimization().learningRate());
    assertEquals("--set lora_rank=5", recipe.where("lora_r"));
    assertEquals("--set rank_pattern.q_proj=3", recipe.where("rank_pattern.q_proj"));
  }

  @Test
  void pathsInSetAreRelativeToTheWorkingDirectory() throws IOException {
    Path here = Path.of("").toAbsolutePath();
    Recipe recipe = files.load("", "output_dir=target/never-written");
    assertEquals(here.resolve("target/never-written"), recipe.output().outputDir());
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "lora_r | --set lora_r: no key before a '='",
        "=3 | --set =3: no key before a '='",
        "a..b=3 | --set a..b=3: no key before a '='",
        "lora_r=x | --set lora_r=x: 'lora_r' is 'x', expected a whole number",
        "datasets.1.path=x | --set datasets.1.path=x: 'datasets.1.type' is missing",
        "datasets.7.path=x | --set datasets.7.path=x: 'datasets' has no entry '7', expected one",
        "datasets.0.path=gone | --set datasets.0.path=gone: 'datasets.0.path': nothing at '",
        "datasets.0.pth=x | --set datasets.0.pth=x: unknown key 'datasets.0.pth' (did you",
        "learning_rate.x=1 | --set learning_rate.x=1: 'learning_rate' is '1e-4' (a.yaml:3:16),",
        "sed=1 | --set sed=1: unknown key 'sed' (did you mean 'seed'?)",
        "seed=[ | --set seed=[: not YAML",
        "seed=!!int 3 | --set seed=!!int 3: the tag '!!int': tags are not allowed",
        "include=x.yaml | --set include=x.yaml: 'include' cannot be set",
        "bnb_4bit_compute_dtype=int8 | --set bnb_4bit_compute_dtype=int8: 'bnb_4bit_compute_dtype'",
      })
  void problemsOfSetNameIt(String set, String expected) throws IOException {
    List<String> problems = files.problems("", set);
    assertTrue(problems.get(0).startsWith(expected), problems.toString());
  }

  @Test
  void setTwiceIsRefused() throws IOException {
    assertEquals(
        List.of("--set lora_rank=3: sets 'lora_r' again after '--set lora_r=2': keep one"),
        files.problems("", "lora_r=2", "lora_rank=3"));
  }

  @Test
  void whereNamesThePlaceOfAKeyForLaterChecks() throws IOException {
    files.write("part.yaml", "\n lora_target_modules: [q_proj]\n");
    Recipe recipe = files.load("include: part.yaml\n");
    assertEquals(
        "part.yaml:2:23", files.relative(List.of(recipe.where("lora_target_modules"))).get(0));
    assertEquals(
        "part.yaml:2:24", files.relative(List.of(recipe.where("lora_target_modules.0"))).get(0));
    assertEquals("a.yaml:2:19", files.relative(List.of(recipe.where("datasets.0.path"))).get(0));
    assertEquals("a.yaml", files.relative(List.of(recipe.where("lora_r"))).get(0));
  }

  @Test
  void wordsWithoutEffectAreNoticed() throws IOException {
    List<String> notices =
        files
            .load(
                "max_steps: 5\nnum_epochs: 3\nwarmup_steps: 5\n"
                    + "test_datasets: [{path: rows.jsonl, type: alpaca}]\n")
            .notices();
    assertEquals(
        List.of(
            "a.yaml:7:13: 'num_epochs' has no effect: 'max_steps' says when to stop",
            "a.yaml:8:15: 'warmup_steps' takes all of 'max_steps': the learning rate never"
                + " arrives",
            "a.yaml:9:24: 'test_datasets.0.path' is also trained on: its loss says little"),
        files.relative(notices));
  }

  @Test
  void whatAScheduleHasNoUseForIsNoticed() throws IOException {
    assertEquals(
        List.of(
            "a.yaml:8:11: 'lr_scheduler_kwargs.power' has no effect with lr_scheduler:"
                + " cosine_with_restarts"),
        files.relative(
            files
                .load(
                    "lr_scheduler: cosine_with_restarts\nlr_scheduler_kwargs: {num_cycles: 2,\n"
                        + "   power: 2}\n")
                .notices()));
    assertEquals(
        List.of(
            "a.yaml:6:35: 'lr_scheduler_kwargs.num_cycles' has no effect with lr_scheduler: cosine"),
        files.relative(files.load("lr_scheduler_kwargs: {num_cycles: 2}\n").notices()));
  }

  /** Said in the recipe's own numbers, with what else is wrong. */
  @Test
  void aPolynomialEndsBelowItsBeginning() throws IOException {
    assertEquals(
        List.of(
            "a.yaml:7:31: 'lr_scheduler_kwargs.lr_end' is 0.5, expected less than 'learning_rate',"
                + " 1e-4"),
        files.problems("lr_scheduler: polynomial\nlr_scheduler_kwargs: {lr_end: 0.5}\n"));
  }

  @Test
  void aSplitNamesAFileOfADirectory() throws IOException {
    files.write("sets/test.jsonl", "{}");
    Recipe recipe =
        files.load("test_datasets: [{path: sets, split: test, type: alpaca, limit: 3}]\n");
    Dataset dataset = recipe.data().testDatasets().get(0);
    assertEquals(List.of(files.path("sets/test.jsonl")), dataset.files());
    assertEquals(Optional.of(3), dataset.limit());
    List<String> problems =
        files.problems("test_datasets: [{path: sets, split: dev, type: alpaca}]\n");
    assertTrue(problems.get(0).contains("no 'dev.jsonl' in 'sets'"), problems.get(0));
    problems = files.problems("test_datasets: [{path: test.jsonl, split: dev, type: alpaca}]\n");
    assertTrue(problems.get(0).contains("has no split 'dev'"), problems.get(0));
  }

  @Test
  void heldBackRowsAreAFractionOrACount() throws IOException {
    assertEquals(11, files.load("val_set_size: 0.1\n").data().valSetSize().rows(101));
    assertEquals(100, files.load("val_set_size: 100\n").data().valSetSize().rows(2000));
    assertFalse(files.load("val_set_size: 0\n").data().valSetSize().isSet());
  }

  @Test
  void lineEndingsOfWindowsAreFine() throws IOException {
    String text = (RecipeFiles.LEAST + "seed: 3\n").replace("\n", "\r\n");
    assertEquals(3, files.loadText(text).seed());
    String bad = files.problemsOf(text + "lora_r: '7'\r\n").get(0);
    assertTrue(bad.startsWith("a.yaml:7:9: 'lora_r' is the text \"7\""), bad);
  }
}
