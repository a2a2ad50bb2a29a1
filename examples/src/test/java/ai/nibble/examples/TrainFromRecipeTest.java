package ai.nibble.examples;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class TrainFromRecipeTest {
  @TempDir Path temp;

  @Test
  void keysSetInCodeWinAndMoreStepsLearnMore() throws Exception {
    learns(TinyBase.write(temp));
  }

  @Test
  void aRealModelTrainsTheSameWay() throws Exception {
    String gguf = "models/smollm2-135m-instruct/SmolLM2-135M-Instruct.Q4_1.gguf";
    Path model = TinyBase.root().resolveSibling("shared").resolve(gguf);
    assumeTrue(Files.exists(model), "skipped: needs ../shared/" + gguf + ", which is not here");
    learns(model);
  }

  private void learns(Path model) throws Exception {
    TinyBase.rows(temp);
    Path recipe = temp.resolve("recipe.yaml");
    Files.writeString(
        recipe,
        """
        base_model: %s
        datasets: [{path: rows.jsonl, type: alpaca}]
        test_datasets: [{path: rows.jsonl, type: alpaca}]
        sequence_len: 64
        learning_rate: 1e-3
        max_steps: 1
        output_dir: out
        """
            .formatted(model));
    double before = TrainFromRecipe.run(recipe, List.of()).orElseThrow();
    double after =
        TrainFromRecipe.run(recipe, List.of("max_steps=4", "overwrite_output_dir=true"))
            .orElseThrow();
    assertTrue(after < before, before + " to " + after);
    Path out = temp.resolve("out");
    for (String file :
        List.of(
            "adapter_config.json", "adapter_model.safetensors", "metrics.jsonl", "recipe.yaml")) {
      assertTrue(Files.isRegularFile(out.resolve(file)), file);
    }
    // four steps and one evaluation
    assertEquals(5, Files.readAllLines(out.resolve("metrics.jsonl")).size());
    assertFalse(Files.readString(out.resolve("recipe.yaml")).isBlank());
  }
}
