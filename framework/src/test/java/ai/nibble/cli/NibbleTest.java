package ai.nibble.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.InvalidInputException;
import ai.nibble.TinyChat;
import ai.nibble.generate.SamplingKey;
import ai.nibble.model.LoadOptions;
import ai.nibble.recipe.Recipe;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Device;
import ai.nibble.tensor.OutOfMemoryExceptionTest;
import ai.nibble.train.TrainingStoppedException;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import picocli.CommandLine;

/** Exit codes, and what is said where. */
final class NibbleTest {
  @TempDir Path temp;
  private final StringWriter out = new StringWriter();
  private final StringWriter err = new StringWriter();
  private final List<Recipe> trained = new ArrayList<>();
  private Path recipe;
  private final List<GenerateRequest> generated = new ArrayList<>();
  private TrainRun train = (recipe, out) -> 0;
  private GenerateRun generate = (request, out, err) -> generated.add(request);

  @BeforeEach
  void writeARecipe() throws IOException {
    Files.createDirectories(temp.resolve("model"));
    Files.writeString(
        temp.resolve("model/config.json"),
        "{\"model_type\":\"llama\",\"hidden_size\":64,\"intermediate_size\":128,"
            + "\"num_hidden_layers\":2,\"num_attention_heads\":4,\"vocab_size\":100}");
    Files.writeString(temp.resolve("model/model.safetensors"), "");
    Files.writeString(temp.resolve("rows.jsonl"), "{}");
    recipe = temp.resolve("a recipe, größer.yaml");
    Files.writeString(
        recipe,
        """
        base_model: model
        datasets: [{path: rows.jsonl, type: alpaca}]
        lr: 1e-4
        sequence_len: 128
        output_dir: out
        """);
  }

  private int nibble(String... args) {
    TrainRun recording =
        (recipe, writer) -> {
          trained.add(recipe);
          return train.run(recipe, writer);
        };
    CommandLine command =
        Nibble.commandLine(recording, generate)
            .setOut(new PrintWriter(out))
            .setErr(new PrintWriter(err));
    return Nibble.run(command, args);
  }

  private String file() {
    return recipe.toString();
  }

  private int linesOfErr() {
    return (int) err.toString().lines().count();
  }

  @Test
  void theRecipeIsPrintedResolvedAndThenTrained() {
    assertEquals(0, nibble("train", file(), "--set", "lora_r=4", "--set", "seed=1"));
    assertEquals(1, trained.size());
    assertEquals(4, trained.get(0).lora().r());
    assertTrue(out.toString().contains("\nlora_r: 4\n"));
    assertTrue(err.toString().endsWith("yaml:3:1: 'lr' is read as 'learning_rate'\n"));
    assertTrue(err.toString().startsWith("note: "));
  }

  @Test
  void theRecipeMayBeAnOptionToo() throws IOException {
    assertEquals(0, nibble("train", "--config", file()));
    assertEquals(0, nibble(dryRun("--config=" + file())));
    assertEquals(1, trained.size());
  }

  @Test
  void aDryRunFindsWhatLeavesNoRowsToTrainOn() throws IOException {
    assertEquals(0, nibble(dryRun(file(), "--set", "val_set_size=0")));
    assertEquals(2, nibble(dryRun(file(), "--set", "val_set_size=5")));
    assertEquals(
        "error: --set val_set_size=5: 'val_set_size' holds back 5 of 1 rows, expected to leave some"
            + " for training: lower it",
        err.toString().lines().filter(line -> line.startsWith("error")).findFirst().orElse(""));
  }

  @Test
  void aRunThatStopsIsToldInItsOwnWords() {
    train =
        (recipe, writer) -> {
          throw new TrainingStoppedException("step 7: loss NaN");
        };
    assertEquals(1, nibble("train", file()));
    assertTrue(err.toString().endsWith("\nerror: step 7: loss NaN\n"), err.toString());
  }

  @Test
  void aDryRunWritesNothingAndPrintsTheRecipeAlone() throws IOException {
    assertEquals(0, nibble(dryRun(file())));
    assertEquals(List.of(), trained);
    try (Stream<Path> entries = Files.list(temp)) {
      assertEquals(4, entries.count());
    }
    assertTrue(out.toString().startsWith("# the recipe, resolved\n"), out.toString());
    assertTrue(err.toString().contains("memory: about "), err.toString());
  }

  /** On a base that can be trained; what is encoded is kept nowhere. */
  private String[] dryRun(String... more) throws IOException {
    TinyChat.write(temp.resolve("tiny"));
    Files.writeString(
        temp.resolve("rows.jsonl"), "{\"instruction\": \"say a\", \"output\": \"a\"}\n");
    List<String> args = new ArrayList<>(List.of("train", "--dry-run"));
    args.addAll(List.of(more));
    args.addAll(List.of("--set", "base_model=" + temp.resolve("tiny"), "--set", "lora_r=4"));
    args.addAll(List.of("--set", "dataset_prepared_path=none"));
    return args.toArray(String[]::new);
  }

  @Test
  void whatTheRunReturnsIsTheExitCode() {
    train = (recipe, writer) -> 1;
    assertEquals(1, nibble("train", file()));
  }

  @Test
  void badInputOfTheRunIsOneLineEachAndExit2() {
    train =
        (recipe, writer) -> {
          throw new InvalidInputException(List.of("rows.jsonl:1: no", "rows.jsonl:2: no"));
        };
    assertEquals(2, nibble("train", file()));
    assertTrue(err.toString().endsWith("error: rows.jsonl:1: no\nerror: rows.jsonl:2: no\n"));
  }

  @Test
  void aFailureIsOneLineAndItsTraceComesWithDebug() {
    train =
        (recipe, writer) -> {
          throw new IllegalStateException("first\n  second");
        };
    assertEquals(1, nibble("train", file()));
    assertTrue(err.toString().contains("IllegalStateException: first | second (--debug"));
    assertFalse(err.toString().contains("\tat "));
    assertEquals(1, nibble("train", file(), "--debug"));
    assertTrue(err.toString().contains("\tat ai.nibble.cli.NibbleTest"));
  }

  /** A class whose set-up finds a mistake of the user's. */
  private static final class NeedsALibrary {
    static final int SIZE = load();

    private static int load() {
      throw new InvalidInputException("LIBRARY is 'x', expected \"y\": set it");
    }
  }

  @Test
  void badInputFoundWhileAClassIsSetUpIsOneLineAndExit2EachTime() {
    train = (recipe, writer) -> NeedsALibrary.SIZE;
    for (int use = 1; use <= 2; use++) {
      err.getBuffer().setLength(0);
      assertEquals(2, nibble("train", file()));
      assertTrue(
          err.toString().endsWith("error: LIBRARY is 'x', expected \"y\": set it\n"),
          err.toString());
      assertFalse(err.toString().contains("\tat "));
    }
  }

  @Test
  void runningOutOfMemoryNamesTheKeysThatHelp() {
    train =
        (recipe, writer) -> {
          throw new OutOfMemoryError("Java heap space");
        };
    assertEquals(1, nibble("train", file()));
    assertTrue(err.toString().contains("out of memory (Java heap space); lower micro_batch_size"));
    assertFalse(err.toString().contains("\tat "));
  }

  @Test
  void aGpuWithoutMemoryIsOneLineWithTheKeysThatHelp() {
    train =
        (recipe, writer) -> {
          throw OutOfMemoryExceptionTest.example().during("step 3", "kept is x");
        };
    assertEquals(1, nibble("train", file()));
    assertEquals(2, linesOfErr(), "the note on the recipe, and one line");
    assertTrue(
        err.toString()
            .endsWith(
                "error: step 3: cuda:0 (NVIDIA H100 80GB HBM3) is out of memory: asked for 5.25 GB, 1.00"
                    + " of 80.00 GB are free; mm failed; kept is x; lower micro_batch_size or"
                    + " sequence_len, set gradient_checkpointing: block or load_in_4bit: true (evaluate:"
                    + " --batch-tokens; others: --load-in-4bit), or compute on the CPU\n"),
        err.toString());
  }

  @Test
  void theDeviceArrives() {
    assertEquals(0, nibble("generate", "--model", "m", "--prompt", "a", "--device", "cpu"));
    assertEquals(Device.CPU, generated.get(0).model().device());
    if (LoadOptions.autoDevice().isCpu()) {
      assertEquals(2, nibble("generate", "--model", "m", "--prompt", "a", "--device", "cuda"));
      assertEquals(
          "error: --device is cuda, but there is no NVIDIA GPU that can be used; 'nibble doctor'"
              + " says what is missing\n",
          err.toString());
    }
  }

  @Test
  void allProblemsOfARecipeAreListedWithoutUsage() {
    assertEquals(2, nibble("train", file(), "--set", "lora_r=0", "--set", "sed=1"));
    assertEquals(
        """
        error: --set lora_r=0: 'lora_r' is '0', expected a whole number >= 1 and <= 65536
        error: --set sed=1: unknown key 'sed' (did you mean 'seed'?): recipes/README.md lists all keys
        """,
        err.toString());
    assertEquals("", out.toString());
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "train --nonsense | Unknown option: '--nonsense'",
        "train --config | Missing required parameter for option '--config'",
        "train --config a --config b | option '--config' (FILE) should be specified only once",
        "train --dry-run --dry-run | option '--dry-run' should be specified only once",
        "train --dry | Unknown option: '--dry'",
        "train a --set | Missing required parameter for option '--set' (KEY=VALUE)",
        "train a b | Unmatched argument at index 2: 'b'",
        "train a --config b | The recipe is given twice",
        "train | Missing required parameter: FILE",
        "train - | The recipe is '-', expected a file",
        "'' | Missing required subcommand",
        "generate --prompt a | Missing required option: --model, or --adapter, or both",
        "generate --model m | Expected one of --prompt and --prompts",
        "generate --model m --prompt a --prompts b | Expected one of --prompt and --prompts",
        "generate --model m --prompt a --raw --system s | --system is a turn of the chat template",
        "generate --model m --prompt a --max-new-tokens 0 | --max-new-tokens is 0",
        "generate --model m --prompt a --max-new-tokens x | Invalid value for option",
        "generate --model m --prompt a --load-in-8bit --load-in-4bit | --load-in-4bit and"
            + " --load-in-8bit are both given: keep one",
        "generate --model m --prompt a --compute-dtype int8 | --compute-dtype is 'int8', expected",
        "generate --model m --prompt a --device tpu | --device is 'tpu', expected one of [auto,",
        "quality --model m --text a --device gpu | --device is 'gpu', expected one of [auto, cpu,",
        "generate --adapter a/x --adapter b/x --prompt a | Two adapters are named 'x': give them",
        "generate --adapter off=x --prompt a | --adapter off=x is named 'off', which stands for none",
        "generate --model m --prompt a --greedy --top-k 3 | --greedy draws nothing, and so has no use",
        "generate --model m --prompt a --top-k 1.5 | Invalid value for option '--top-k'",
        "evaluate --model m --task perplexity=a --num-fewshot perplexity=2 | --num-fewshot and"
            + " --fewshot-file are not of perplexity, which is text",
        "chat | Missing required option: --model, or --adapter, or both",
        "chat --model m --prompt a | Unknown options: '--prompt', 'a'",
        "tarin | Unmatched argument at index 0: 'tarin'",
      })
  void badUsageSaysSoAndHow(String line, String expected) {
    String[] args = line.isEmpty() ? new String[0] : line.split(" ");
    assertEquals(2, nibble(args));
    List<String> lines = err.toString().lines().toList();
    assertTrue(lines.get(0).startsWith("error: " + expected), err.toString());
    // with a command one line of remedy, so that the mistake is not scrolled away; else the
    // commands
    String command = args.length == 0 ? "" : args[0];
    if (command.isEmpty() || command.equals("tarin")) {
      assertEquals("Usage: nibble [-hV] [--debug] [COMMAND]", lines.get(1));
    } else {
      assertEquals(List.of("'nibble " + command + " --help' lists the options"), rest(lines));
    }
    assertFalse(err.toString().contains("\tat "));
    assertEquals(List.of(), trained);
  }

  private static List<String> rest(List<String> lines) {
    return lines.subList(1, lines.size());
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "generate --model m --promt a | error: Unknown options: '--promt', 'a' (did you mean --prompt or",
        "merge --adpter a --output b | error: Missing required option: '--adapter=DIR[=WEIGHT]'",
        "tarin | error: Unmatched argument at index 0: 'tarin' (did you mean train",
      })
  void aMistypedWordIsAnsweredWithTheOneThatWasMeant(String line, String expected) {
    assertEquals(2, nibble(line.split(" ")));
    assertTrue(err.toString().startsWith(expected), err.toString());
  }

  @ParameterizedTest
  @ValueSource(strings = {"none.yaml", "./", "@none", "two\nlines.yaml", " "})
  void aRecipeThatIsNotThereIsOneLine(String name) {
    assertEquals(2, nibble("train", name));
    assertEquals(1, linesOfErr(), err.toString());
  }

  @Test
  void optionsOfGenerateArriveAndHaveDefaults() {
    assertEquals(0, nibble("generate", "--adapter", "some/out", "--prompt", "hi"));
    GenerateRequest request = generated.get(0);
    assertEquals(Map.of("out", Path.of("some/out")), request.model().adapters());
    assertEquals("out", request.use());
    assertEquals("hi", request.prompt().orElseThrow());
    SamplingRequest sampling = request.sampling();
    assertTrue(sampling.maxNewTokens().isEmpty() && sampling.seed().isEmpty());
    assertTrue(sampling.given().isEmpty() && sampling.stops().strings().isEmpty());
    assertTrue(request.model().model().isEmpty() && request.model().computeDtype().isEmpty());
    assertFalse(
        request.raw()
            || request.model().quantization().isPresent()
            || request.json()
            || sampling.greedy());
    String line =
        "generate --model m --prompts p.jsonl --system s --load-in-4bit --max-new-tokens 5"
            + " --compute-dtype float32 --adapter a=x/1 --adapter b=y=z --use off --temperature 0.7"
            + " --top-k 5 --top-p 0.9 --min-p 0.05 --typical-p 0.8 --repetition-penalty 1.1"
            + " --presence-penalty -0.5 --frequency-penalty 0.1 --no-repeat-ngram-size 3 --seed -4"
            + " --stop END --stop STOP --json";
    assertEquals(0, nibble(line.split(" ")));
    request = generated.get(1);
    assertEquals(Path.of("p.jsonl"), request.promptsFile().orElseThrow());
    assertEquals("s", request.system().orElseThrow());
    assertEquals(LoadOptions.nf4().quantization(), request.model().quantization());
    assertTrue(request.json());
    assertEquals(DType.FLOAT32, request.model().computeDtype().orElseThrow());
    assertEquals(Map.of("a", Path.of("x/1"), "b", Path.of("y=z")), request.model().adapters());
    assertEquals(List.of("a", "b"), request.model().adapterNames());
    assertEquals("off", request.use());
    sampling = request.sampling();
    assertEquals(5, sampling.maxNewTokens().orElseThrow());
    assertEquals(-4, sampling.seed().orElseThrow());
    assertEquals(List.of("END", "STOP"), sampling.stops().strings());
    assertEquals(
        Map.of(
            SamplingKey.TEMPERATURE, 0.7,
            SamplingKey.TOP_K, 5.0,
            SamplingKey.TOP_P, 0.9,
            SamplingKey.MIN_P, 0.05,
            SamplingKey.TYPICAL_P, 0.8,
            SamplingKey.REPETITION_PENALTY, 1.1,
            SamplingKey.PRESENCE_PENALTY, -0.5,
            SamplingKey.FREQUENCY_PENALTY, 0.1,
            SamplingKey.NO_REPEAT_NGRAM_SIZE, 3.0),
        sampling.given());
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "--temperature NaN | --temperature is NaN, expected a finite number of at least 0",
        "--temperature -1 | --temperature is -1, expected a finite number of at least 0",
        "--top-p 0 | --top-p is 0, expected a number above 0 and up to 1 (1: off)",
        "--top-p 2 | --top-p is 2, expected a number above 0 and up to 1 (1: off)",
        "--top-k -3 | --top-k is -3, expected a whole number of at least 0 (0: off)",
        "--min-p 1.5 | --min-p is 1.5, expected a number from 0 to 1 (0: off)",
        "--repetition-penalty 0 | --repetition-penalty is 0, expected a finite number above 0 (1: off)",
        "--use nme | --use nme: no adapter 'nme', expected one of [name, off] (did you mean 'name'?)",
      })
  void aValueOutOfRangeIsOneLineAndExit2(String option, String expected) {
    String line = "generate --adapter name=x --prompt a " + option;
    assertEquals(2, nibble(line.split(" ")));
    assertEquals("error: " + expected + System.lineSeparator(), err.toString());
    assertEquals(List.of(), generated);
  }

  @Test
  void emptyPromptsAndStopStringsAreOneLineAndExit2() {
    assertEquals(2, nibble("generate", "--model", "m", "--prompt", " "));
    assertEquals("error: --prompt is empty, expected some text" + System.lineSeparator(), err + "");
    assertEquals(2, nibble("generate", "--model", "m", "--prompt", "a", "--stop", ""));
    assertTrue(err.toString().contains("error: --stop is '', expected at least one character"));
    assertEquals(List.of(), generated);
  }

  @Test
  void everyExampleOfTheHelpStandsOnItsOwnLines() {
    Map<String, CommandLine> commands =
        Nibble.commandLine((recipe, writer) -> 0, Generation::run).getSubcommands();
    assertEquals(16, commands.size(), commands.keySet()::toString);
    commands.forEach(
        (name, command) -> {
          assertEquals(0, nibble(name, "--help"));
          List<String> lines = out.toString().lines().map(String::stripTrailing).toList();
          String[] footer = command.getCommandSpec().usageMessage().footer();
          List<String> examples =
              Arrays.stream(footer).filter(line -> line.startsWith("  ")).toList();
          assertTrue(examples.stream().anyMatch(e -> e.startsWith("  nibble " + name)), name);
          for (String example : examples) {
            assertTrue(lines.contains(example), name + " breaks: " + example);
          }
        });
  }

  @Test
  void helpAndVersionAreOnStandardOutput() {
    assertEquals(0, nibble("--help"));
    assertTrue(out.toString().contains("train"));
    assertEquals(0, nibble("train", "--help"));
    assertTrue(out.toString().contains("--dry-run"));
    assertEquals(0, nibble("generate", "--help"));
    assertTrue(out.toString().contains("nibble generate --adapter out --prompt"));
    assertEquals(0, nibble("chat", "--help"));
    assertTrue(out.toString().contains("nibble chat --adapter out"));
    assertEquals(0, nibble("--version"));
    assertTrue(out.toString().contains("Java " + Runtime.version()));
    assertEquals("", err.toString());
  }
}
