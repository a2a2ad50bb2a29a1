package ai.nibble.recipe;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.InvalidInputException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The files a recipe reads, and the directory a run writes to. */
final class FilesOfARecipeTest {
  @TempDir Path temp;
  private RecipeFiles files;

  @BeforeEach
  void makeFiles() throws IOException {
    files = new RecipeFiles(temp);
  }

  private String modelProblem(String model) throws IOException {
    List<String> problems =
        files.problemsOf(RecipeFiles.LEAST.replace("base_model: model", "base_model: " + model));
    assertEquals(1, problems.size(), problems.toString());
    return problems.get(0);
  }

  /** Tests run offline, on a cache of their own. */
  @Test
  void aHubIdThatCannotBeHadSaysWhy() throws IOException {
    String problem = modelProblem("HuggingFaceTB/SmolLM2-135M-Instruct");
    assertTrue(
        problem.startsWith(
            "a.yaml:1:13: 'base_model': nothing at 'HuggingFaceTB/SmolLM2-135M-Instruct', and on"
                + " the hub: HuggingFaceTB/SmolLM2-135M-Instruct: the cache "),
        problem);
    assertTrue(problem.contains("HF_HUB_OFFLINE is set"), problem);
    assertFalse(modelProblem("../x/y/z").contains("hub"));
  }

  @Test
  void aModelDirectoryIsLookedIntoBeforeAnyWeightIsRead() throws IOException {
    Files.createDirectory(temp.resolve("empty"));
    assertTrue(modelProblem("empty").contains("is an empty directory, expected"));
    files.write("bare/model.safetensors", "");
    assertTrue(modelProblem("bare").contains("no config.json in 'bare'"));
    files.write("pickled/config.json", RecipeFiles.CONFIG);
    files.write("pickled/pytorch_model.bin", "");
    assertTrue(
        modelProblem("pickled")
            .contains("only pytorch_model.bin: pickle is not loaded, convert it to safetensors"));
    files.write("ggufs/config.json", RecipeFiles.CONFIG);
    files.write("ggufs/x.gguf", "");
    assertTrue(modelProblem("ggufs").contains("name the file: 'ggufs/x.gguf'"));
    files.write("notes.txt", "");
    assertTrue(modelProblem("notes.txt").contains("'notes.txt' is another kind of file, expected"));
    assertTrue(modelProblem("ggufs/x.gguf").contains("no tokenizer.json beside 'x.gguf'"));
  }

  @Test
  void aGgufWithItsConfigAndTokenizerIsAModel() throws IOException {
    files.write("g/x.gguf", "");
    files.write("g/config.json", RecipeFiles.CONFIG);
    files.write("g/tokenizer.json", "{}");
    Recipe recipe = files.loadText(RecipeFiles.LEAST.replace(": model", ": g/x.gguf"));
    assertEquals(files.path("g/x.gguf"), recipe.baseModel());
  }

  @Test
  void missingFilesAreReportedTogetherWithAllElse() throws IOException {
    List<String> problems =
        files.problemsOf(
            """
            base_model: none
            datasets: [{path: gone.jsonl, type: alpaca}, {path: model, type: text}]
            chat_template: chatml
            learning_rate: -1
            sequence_len: 128
            output_dir: out
            """);
    assertEquals(
        List.of(
            "a.yaml:1:13: 'base_model': nothing at 'none', expected a directory with config.json"
                + " and safetensors, or a .gguf file: check the path, or give it with --set"
                + " base_model=DIR",
            "a.yaml:2:19: 'datasets.0.path': nothing at 'gone.jsonl', expected a file of rows:"
                + " check the path, or give it with --set datasets.0.path=FILE",
            "a.yaml:2:53: 'datasets.1.path': 'model' is a directory, expected a file of rows: name"
                + " one, or a pattern such as '*.jsonl' in it, or add 'split'",
            "a.yaml:3:16: 'chat_template': no file at 'chatml', expected 'tokenizer_default' or a"
                + " file with a Jinja template",
            "a.yaml:4:16: 'learning_rate' is '-1', expected a number > 0 and <= 1"),
        problems);
  }

  private String outputProblem(String output, String... sets) throws IOException {
    Path file = files.write("a.yaml", RecipeFiles.LEAST.replace(": out", ": " + output));
    InvalidInputException e =
        assertThrows(
            InvalidInputException.class, () -> RecipeLoader.loadForRun(file, List.of(sets)));
    assertEquals(1, e.problems().size(), e.getMessage());
    return e.getMessage();
  }

  @Test
  void anOutputDirectoryThatHoldsSomethingIsKept() throws IOException {
    files.write("out/adapter.safetensors", "precious");
    assertTrue(outputProblem("out").contains("which is not empty"));
    Path file = files.write("a.yaml", RecipeFiles.LEAST);
    RecipeLoader.load(file, List.of());
    RecipeLoader.loadForRun(file, List.of("overwrite_output_dir=true"));
    assertEquals("precious", Files.readString(temp.resolve("out/adapter.safetensors")));
  }

  @Test
  void theOutputIsNeverWhereAnInputIs() throws IOException {
    String force = "overwrite_output_dir=true";
    assertTrue(outputProblem("model", force).contains("where 'base_model' is"));
    assertTrue(outputProblem(".", force).contains("where the recipe is"));
    files.write("data/rows.jsonl", "{}");
    String set = "datasets.0.path=" + temp.resolve("data/rows.jsonl");
    assertTrue(outputProblem("data", force, set).contains("where 'datasets.0' is"));
    Files.createSymbolicLink(temp.resolve("link"), temp.resolve("model"));
    assertTrue(outputProblem("link", force).contains("where 'base_model' is"));
  }

  @Test
  void anOutputThatCannotBeWrittenIsRefusedBeforeAnythingIsLoaded() throws IOException {
    assertTrue(outputProblem("rows.jsonl").contains("where 'datasets.0' is"));
    assertTrue(outputProblem("test.jsonl").contains("which is a file"));
    assertTrue(outputProblem("test.jsonl/out").contains("test.jsonl' is a file"));
    if (Files.isDirectory(Path.of("/proc"))) {
      assertTrue(outputProblem("/proc/out").contains("which cannot be written"));
    }
  }

  @Test
  void checkingLeavesNoTrace() throws IOException {
    Path file = files.write("a.yaml", RecipeFiles.LEAST);
    RecipeLoader.loadForRun(file, List.of());
    assertFalse(Files.exists(temp.resolve("out")));
    try (var entries = Files.list(temp)) {
      assertEquals(4, entries.count());
    }
  }
}
