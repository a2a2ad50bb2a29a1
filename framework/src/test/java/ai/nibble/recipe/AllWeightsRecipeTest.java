package ai.nibble.recipe;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Recipes that train all weights, from a base or from scratch. */
final class AllWeightsRecipeTest {
  @TempDir Path temp;
  private RecipeFiles files;

  @BeforeEach
  void makeFiles() throws IOException {
    files = new RecipeFiles(temp);
    // 32 layers of 64 columns, and embeddings
    files.write("small/config.json", RecipeFiles.CONFIG);
  }

  @Test
  void withoutAnAdapterTheBaseIsNotQuantised() throws IOException {
    Recipe recipe = files.load("adapter: none\n");
    assertEquals(Recipe.Adapter.NONE, recipe.adapter());
    assertEquals(Recipe.Method.SFT, recipe.method());
    assertEquals(Recipe.Init.PRETRAINED, recipe.init());
    assertFalse(recipe.quantization().loadIn4bit());
    assertEquals(List.of(), recipe.notices());
    Recipe again = files.loadText(recipe.resolvedYaml());
    assertEquals(recipe, again);
    assertEquals(List.of(), again.notices());
  }

  @Test
  void pretrainingFromScratchNeedsNoWeights() throws IOException {
    Recipe recipe =
        files.load("adapter: none\nmethod: pretrain\ninit: random\n", "base_model=" + small());
    assertEquals(Recipe.Method.PRETRAIN, recipe.method());
    assertEquals(Recipe.Init.RANDOM, recipe.init());
    assertEquals(List.of(), recipe.notices());
    assertEquals(recipe, files.loadText(recipe.resolvedYaml()));
  }

  private Path small() {
    return files.path("small");
  }

  @ParameterizedTest
  @CsvSource({
    "adapter: full, NONE, SFT, 'adapter: full' is read as 'none'",
    "finetuning_type: full, NONE, SFT, 'finetuning_type: full' is read as 'adapter: none'",
    "method: pt, QLORA, PRETRAIN, 'method: pt' is read as 'pretrain'",
    "stage: pt, QLORA, PRETRAIN, 'stage: pt' is read as 'method: pretrain'",
  })
  void otherToolsWordsAreRead(
      String line, Recipe.Adapter adapter, Recipe.Method method, String notice) throws IOException {
    Recipe recipe = files.load(line + "\n");
    assertEquals(adapter, recipe.adapter());
    assertEquals(method, recipe.method());
    assertEquals(1, recipe.notices().size());
    assertTrue(recipe.notices().get(0).endsWith(": " + notice), recipe.notices().get(0));
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "load_in_4bit: true | a.yaml:7:15: 'load_in_4bit' is 'true', but adapter none trains all"
            + " weights, which 4 bits cannot hold: remove it, or use adapter: qlora",
        "quantization_bit: 4 | a.yaml:7:19: 'load_in_4bit' is 'true', but adapter none trains all"
            + " weights, which 4 bits cannot hold: remove it, or use adapter: qlora",
        "load_in_8bit: true | a.yaml:7:15: 'load_in_8bit' is 'true', which is not supported yet"
            + " (8-bit base weights): use load_in_4bit",
      })
  void quantisedWeightsCannotBeTrained(String line, String expected) throws IOException {
    assertEquals(List.of(expected), files.problems("adapter: none\n" + line + "\n"));
  }

  @ParameterizedTest
  @CsvSource({"qlora", "lora"})
  void anAdapterOnRandomWeightsIsRefused(String adapter) throws IOException {
    assertEquals(
        List.of(
            "a.yaml:7:7: 'init' is 'random', but an adapter needs a trained base: use adapter:"
                + " none, or init: pretrained"),
        files.problems("adapter: " + adapter + "\ninit: random\n"));
  }

  @Test
  void randomWeightsNeedAConfiguration() throws IOException {
    files.write("empty/tokenizer.json", "{}");
    files.write("file.gguf", "");
    for (String base : List.of("empty", "file.gguf", "gone")) {
      List<String> problems =
          files.problems("adapter: none\ninit: random\n", "base_model=" + files.path(base));
      assertEquals(1, problems.size(), problems.toString());
      assertTrue(
          problems.get(0).contains("'base_model': no config.json in '" + base + "', expected a"),
          problems.get(0));
    }
  }

  @Test
  void aModelTooLargeForAllItsWeightsIsRefusedBeforeItIsRead() throws IOException {
    files.write("model/config.json", RecipeFiles.CONFIG.replace("100}", "9000000}"));
    List<String> problems = files.problems("adapter: none\n");
    assertEquals(1, problems.size(), problems.toString());
    assertTrue(
        problems.get(0).contains("weights, expected at most 536870911 to train all of them"),
        problems.get(0));
    assertEquals(Recipe.Adapter.LORA, files.load("adapter: lora\n").adapter());
  }

  @Test
  void keysOfAdaptersAndRolesWithoutEffectAreNoticed() throws IOException {
    Recipe recipe =
        files.load(
            "adapter: none\nmethod: pretrain\nlora_r: 8\nlora_alpha: 32\nroles_to_train: [user]\n"
                + "train_on_inputs: true\n");
    assertEquals(
        List.of(
            "a.yaml:8:9: 'lora_r' has no effect with adapter: none",
            "a.yaml:11:18: 'train_on_inputs' has no effect with method: pretrain, which trains on"
                + " every token",
            "a.yaml:10:17: 'roles_to_train' has no effect with method: pretrain, which trains on"
                + " every token"),
        files.relative(recipe.notices()));
  }

  @Test
  void overwritingRemovesAnEarlierRunsModel() throws IOException {
    for (String name : List.of("config.json", "model.safetensors", "tokenizer.json", "mine.txt")) {
      files.write("out/" + name, "x");
    }
    Recipe recipe = files.load("adapter: none\noverwrite_output_dir: true\n");
    OutputFolder.prepare(recipe.output());
    try (var left = Files.list(files.path("out"))) {
      assertEquals(List.of(files.path("out/mine.txt")), left.toList());
    }
  }
}
