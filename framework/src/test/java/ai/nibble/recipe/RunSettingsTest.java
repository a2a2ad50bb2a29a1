package ai.nibble.recipe;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;

import ai.nibble.InvalidInputException;
import ai.nibble.Shared;
import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** How many steps a run has. */
final class RunSettingsTest {
  @TempDir Path temp;

  private int steps(String more, int rows) throws IOException {
    return RunSettings.of(new RecipeFiles(temp).load(more), rows).totalSteps();
  }

  @Test
  void epochsAreCountedInOptimizerSteps() throws IOException {
    assertEquals(20, steps("", 20));
    assertEquals(
        6, steps("micro_batch_size: 4\ngradient_accumulation_steps: 2\nnum_epochs: 2\n", 20));
    assertEquals(8, steps("micro_batch_size: 4\nnum_epochs: 1.5\n", 20));
    assertEquals(7, steps("max_steps: 7\nnum_epochs: 1000000\n", 3_000));
    assertEquals(2_147_000_000, steps("num_epochs: 1000000\n", 2_147));
  }

  /** Ten steps an epoch: evaluations every 3, checkpoints every 10. */
  @Test
  void savesThatNoEvaluationFallsOnAreRefusedOnceTheStepsAreKnown() throws IOException {
    RecipeFiles files = new RecipeFiles(temp);
    String keys = "val_set_size: 0.1\nsaves_per_epoch: 1\nload_best_model_at_end: true\n";
    assertEquals(10, RunSettings.of(files.load(keys + "evals_per_epoch: 5\n"), 10).saveSteps());
    Recipe recipe = files.load(keys + "evals_per_epoch: 3\n");
    InvalidInputException e =
        assertThrows(InvalidInputException.class, () -> RunSettings.of(recipe, 10));
    assertEquals(
        List.of(
            "a.yaml:8:25: 'load_best_model_at_end' needs an evaluation wherever a checkpoint is,"
                + " but there is one every 3 steps and a checkpoint every 10: set eval_steps, and"
                + " save_steps to a multiple of it"),
        files.relative(e.problems()));
  }

  /** 3,000 rows of text on the shipped base: found before its weights are read. */
  @Test
  void moreStepsThanCanBeCountedAreRefusedAndNothingIsLeftBehind() throws IOException {
    RecipeFiles files = new RecipeFiles(temp);
    files.write("many.jsonl", "{\"text\": \"a\"}\n".repeat(3_000));
    Path base = Shared.root().resolve("models/nibble-5m");
    Recipe recipe =
        files.load(
            "num_epochs: 1000000\n",
            "base_model=" + base,
            "datasets=[{path: " + files.path("many.jsonl") + ", type: text}]");
    PrintStream out =
        new PrintStream(OutputStream.nullOutputStream(), true, StandardCharsets.UTF_8);
    InvalidInputException e =
        assertThrows(InvalidInputException.class, () -> new RecipeRun(recipe, out, false).run());
    assertEquals(
        List.of(
            "a.yaml:6:13: 'num_epochs' is 1000000, which with 3000 rows makes 3000000000 optimizer"
                + " steps, expected at most 2147483647: lower it, or set max_steps"),
        files.relative(e.problems()));
    assertFalse(Files.exists(files.path("out")));
  }
}
