package ai.nibble.examples;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.recipe.Recipe;
import ai.nibble.recipe.RecipeLoader;
import ai.nibble.train.log.EvalMetrics;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class StopAtLossTest {
  @TempDir Path temp;

  private Recipe recipe(String output) throws Exception {
    Path base = temp.resolve("base");
    if (!Files.exists(base)) {
      TinyBase.write(temp);
      TinyBase.rows(temp);
    }
    Path file = temp.resolve("recipe.yaml");
    Files.writeString(
        file,
        """
        base_model: base
        datasets: [{path: rows.jsonl, type: alpaca}]
        test_datasets: [{path: rows.jsonl, type: alpaca}]
        sequence_len: 64
        learning_rate: 5e-3
        eval_steps: 1
        max_steps: 8
        output_dir: %s
        """
            .formatted(output));
    return RecipeLoader.loadForRun(file, List.of());
  }

  @Test
  void theRunEndsAtTheFirstLossThatIsLowEnough() throws Exception {
    List<EvalMetrics> all = StopAtLoss.run(recipe("whole"), 0);
    assertEquals(8, all.size());
    double third = all.get(2).evalLoss();
    assertTrue(third < all.get(0).evalLoss(), all.toString());
    // the same seed gives the same losses
    List<EvalMetrics> some = StopAtLoss.run(recipe("early"), third);
    assertEquals(third, some.get(some.size() - 1).evalLoss());
    assertTrue(some.size() <= 3, some.toString());
    assertTrue(Files.isDirectory(temp.resolve("early/checkpoint-" + some.size())));
  }
}
