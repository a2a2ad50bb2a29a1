package ai.nibble.recipe;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;

import ai.nibble.InvalidInputException;
import ai.nibble.TinyChat;
import ai.nibble.lora.AdapterStore;
import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** A check without training refuses what training would, in the same words. */
final class DryRunTest {
  private static final PrintStream NOWHERE = new PrintStream(OutputStream.nullOutputStream());

  @TempDir Path temp;
  private RecipeFiles files;

  @BeforeEach
  void makeFiles() throws IOException {
    files = new RecipeFiles(temp);
    TinyChat.write(temp.resolve("tiny"));
    files.write("rows.jsonl", "{\"instruction\": \"say a\", \"output\": \"a\"}\n".repeat(4));
    files.write(
        "long.jsonl", "{\"instruction\": \"" + "a".repeat(500) + "\", \"output\": \"a\"}\n");
    files.write("half.jsonl", "{\"instruction\": \"a\"}\n");
  }

  private Recipe recipe(String more) throws IOException {
    return files.load(
        "lora_r: 4\nmax_steps: 1\nbnb_4bit_compute_dtype: float32\nreport_to: []\n" + more,
        "base_model=" + temp.resolve("tiny"),
        "output_dir=" + temp.resolve("out"));
  }

  private static List<String> refused(Runnable body) {
    return assertThrows(InvalidInputException.class, body::run).problems();
  }

  private void assertRefusedAlike(Recipe recipe) {
    List<String> dry = refused(() -> new RecipeRun(recipe, NOWHERE, 0).check());
    assertEquals(refused(() -> new RecipeRun(recipe, NOWHERE, 0).run()), dry);
    assertEquals(dry, refused(() -> RecipePlan.read(recipe, NOWHERE, List.of())));
    assertFalse(Files.exists(temp.resolve("out/" + AdapterStore.WEIGHTS)));
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "test_datasets: [{path: long.jsonl, type: alpaca}]",
        "test_datasets: [{path: half.jsonl, type: alpaca}]",
        "val_set_size: 4",
        "generation_eval: {path: half.jsonl, type: alpaca}"
      })
  void whatTheRowsShow(String line) throws IOException {
    assertRefusedAlike(recipe(line + "\n"));
  }

  @Test
  void whatTheAdapterThatItBeginsWithShows() throws IOException {
    new RecipeRun(recipe("lora_target_modules: [q_proj]\n"), NOWHERE, 0).run();
    Path first = Files.move(temp.resolve("out"), temp.resolve("first"));
    Path weights = first.resolve(AdapterStore.WEIGHTS);
    String more = "lora_target_modules: [q_proj]\nlora_model_dir: first\n";
    new RecipeRun(recipe(more), NOWHERE, 0).check();
    assertFalse(Files.exists(temp.resolve("out")), "nothing is left behind");
    byte[] bytes = Files.readAllBytes(weights);
    for (int i = 1; i <= 4; i++) {
      bytes[bytes.length - i] = (byte) (i == 1 ? 0x7f : 0xff); // the last value is no number
    }
    Files.write(weights, bytes);
    refused(() -> new RecipeRun(recipeOf(more), NOWHERE, 0).check());
    refused(() -> new RecipeRun(recipeOf(more), NOWHERE, 0).run());
  }

  private Recipe recipeOf(String more) {
    try {
      return recipe(more);
    } catch (IOException e) {
      throw new IllegalStateException(e);
    }
  }

  /** Where settings may differ, the place of a checkpoint still has to be one of the run. */
  @Test
  void aCheckpointBeyondTheEnd() throws IOException {
    String longer = "save_steps: 2\n";
    Recipe two =
        files.loadText(recipe(longer).resolvedYaml().replace("max_steps: 1", "max_steps: 2"));
    new RecipeRun(two, NOWHERE, 0).run();
    Path first = Files.move(temp.resolve("out"), temp.resolve("first"));
    String resume =
        longer
            + "resume_from_checkpoint: "
            + first.resolve("checkpoint-2")
            + "\nresume_with_changes: true\n";
    List<String> dry = refused(() -> new RecipeRun(recipeOf(resume), NOWHERE, 0).check());
    assertEquals(refused(() -> new RecipeRun(recipeOf(resume), NOWHERE, 0).run()), dry);
  }
}
