package ai.nibble.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.InvalidInputException;
import ai.nibble.recipe.Recipe;
import ai.nibble.tensor.DType;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
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
  void theRecipeMayBeAnOptionToo() {
    assertEquals(0, nibble("train", "--config", file()));
    assertEquals(0, nibble("train", "--config=" + file(), "--dry-run"));
    assertEquals(1, trained.size());
  }

  @Test
  void aDryRunWritesNothing() throws IOException {
    assertEquals(0, nibble("train", file(), "--dry-run"));
    assertEquals(List.of(), trained);
    try (Stream<Path> entries = Files.list(temp)) {
      assertEquals(3, entries.count());
    }
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
        "generate --model m --prompt a --compute-dtype int8 | --compute-dtype is 'int8', expected",
        "tarin | Unmatched argument at index 0: 'tarin'",
      })
  void badUsageSaysSoAndHow(String line, String expected) {
    String[] args = line.isEmpty() ? new String[0] : line.split(" ");
    assertEquals(2, nibble(args));
    assertTrue(err.toString().startsWith(expected), err.toString());
    assertTrue(err.toString().contains("Usage: nibble"), err.toString());
    assertFalse(err.toString().contains("\tat "));
    assertEquals(List.of(), trained);
  }

  @ParameterizedTest
  @ValueSource(strings = {"none.yaml", "./", "@none", "two\nlines.yaml", " "})
  void aRecipeThatIsNotThereIsOneLine(String name) {
    assertEquals(2, nibble("train", name));
    assertEquals(1, linesOfErr(), err.toString());
  }

  @Test
  void optionsOfGenerateArriveAndHaveDefaults() {
    assertEquals(0, nibble("generate", "--adapter", "out", "--prompt", "hi"));
    GenerateRequest request = generated.get(0);
    assertEquals(Path.of("out"), request.adapter().orElseThrow());
    assertEquals("hi", request.prompt().orElseThrow());
    assertEquals(256, request.maxNewTokens());
    assertTrue(request.model().isEmpty() && request.computeDtype().isEmpty());
    assertFalse(request.raw() || request.loadIn4bit());
    String line =
        "generate --model m --prompts p.jsonl --system s --load-in-4bit --max-new-tokens 5"
            + " --compute-dtype float32";
    assertEquals(0, nibble(line.split(" ")));
    request = generated.get(1);
    assertEquals(Path.of("p.jsonl"), request.promptsFile().orElseThrow());
    assertEquals("s", request.system().orElseThrow());
    assertTrue(request.loadIn4bit());
    assertEquals(5, request.maxNewTokens());
    assertEquals(DType.FLOAT32, request.computeDtype().orElseThrow());
  }

  @Test
  void helpAndVersionAreOnStandardOutput() {
    assertEquals(0, nibble("--help"));
    assertTrue(out.toString().contains("train"));
    assertEquals(0, nibble("train", "--help"));
    assertTrue(out.toString().contains("--dry-run"));
    assertEquals(0, nibble("generate", "--help"));
    assertTrue(out.toString().contains("nibble generate --adapter out --prompt"));
    assertEquals(0, nibble("--version"));
    assertTrue(out.toString().contains("Java " + Runtime.version()));
    assertEquals("", err.toString());
  }
}
