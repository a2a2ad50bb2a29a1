package ai.nibble.recipe;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.Shared;
import ai.nibble.lora.TargetModules;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Everything shipped in recipes/ and configs/ is sound. */
final class ShippedRecipesTest {
  private static final String BEGIN = "<!-- generated: begin -->\n";
  private static final String END = "<!-- generated: end -->";

  /** As many as there are: a recipe that this test does not see is a recipe nobody checks. */
  private static final int RECIPES = 8;

  private static final int CONFIGS = 11;

  @TempDir Path temp;

  private static List<Path> yaml(String directory) throws IOException {
    try (Stream<Path> files = Files.walk(Shared.root().resolve(directory))) {
      return files.filter(f -> f.toString().endsWith(".yaml")).sorted().toList();
    }
  }

  @Test
  void everyRecipeLoadsOnceItsFilesAreNamed() throws IOException {
    RecipeFiles files = new RecipeFiles(temp);
    List<Path> recipes = yaml("recipes");
    for (Path file : recipes) {
      List<String> lines = Files.readAllLines(file);
      assertTrue(lines.size() <= 40, file + " has " + lines.size() + " lines");
      assertTrue(lines.stream().anyMatch(l -> l.startsWith("# Needs: ")), file.toString());
      assertTrue(lines.stream().anyMatch(l -> l.startsWith("# Expected result:")), file.toString());
      Recipe recipe = RecipeLoader.load(file, sets(String.join("\n", lines), files));
      assertEquals(List.of(), recipe.notices());
      assertEquals(recipe, files.loadText(recipe.resolvedYaml()));
    }
    assertEquals(RECIPES, recipes.size());
  }

  /** A file of the tests' own for the base and for every entry of rows. */
  private static List<String> sets(String text, RecipeFiles files) {
    List<String> sets = new ArrayList<>(List.of("base_model=" + files.path("model")));
    String key = "";
    int entry = 0;
    for (String line : text.lines().toList()) {
      if (line.matches("\\w+:.*")) {
        key = line.substring(0, line.indexOf(':'));
        entry = 0;
      } else if (line.startsWith("  - ") && key.endsWith("datasets")) {
        String file = key.equals("datasets") ? "rows.jsonl" : "test.jsonl";
        sets.add(key + "." + entry++ + ".path=" + files.path(file));
      }
    }
    return sets;
  }

  @Test
  void everyConfigIsAPartThatARecipeCanInclude() throws IOException {
    RecipeFiles files = new RecipeFiles(temp);
    List<Path> configs = yaml("configs");
    for (Path config : configs) {
      Recipe recipe = files.load("include: " + config + "\n");
      assertEquals(List.of(), recipe.notices());
      assertTrue(Files.readString(config).startsWith("# "), config + " says what it is");
    }
    assertEquals(CONFIGS, configs.size());
  }

  @Test
  void theSettingsOfTheReferenceRunAreThoseOfItsRecipe() throws IOException {
    RecipeFiles files = new RecipeFiles(temp);
    Path file = Shared.root().resolve("recipes/smollm2-135m-gsm8k.yaml");
    Recipe recipe = RecipeLoader.load(file, sets(Files.readString(file), files));
    assertEquals(8, recipe.training().microBatchSize());
    assertEquals(8, recipe.evaluation().evalBatchSize());
    assertEquals(60, recipe.training().maxSteps().orElseThrow());
    assertEquals(2e-4, recipe.optimization().learningRate());
    assertEquals(Optimization.LrScheduler.CONSTANT, recipe.optimization().lrScheduler());
    assertEquals(2000, recipe.data().datasets().get(0).limit().orElseThrow());
    assertEquals(100, recipe.data().testDatasets().get(0).limit().orElseThrow());
    assertEquals(512, recipe.data().sequenceLen());
    assertTrue(recipe.quantization().useDoubleQuant());
    assertEquals(7, ((TargetModules.Names) recipe.lora().targetModules()).names().size());
  }

  @Test
  void theTableOfKeysIsWhatTheRecordsSay() throws IOException {
    Path readme = Shared.root().resolve("recipes/README.md");
    String text = Files.readString(readme);
    int begin = text.indexOf(BEGIN) + BEGIN.length();
    String fresh =
        text.substring(0, begin) + KeyTable.markdown() + text.substring(text.indexOf(END));
    if (!fresh.equals(text)) {
      Path written = Shared.root().resolve("framework/target/recipes-README.md");
      Files.writeString(written, fresh);
      assertEquals(fresh, text, "recipes/README.md is stale: copy " + written + " over it");
    }
  }
}
