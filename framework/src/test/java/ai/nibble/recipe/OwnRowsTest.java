package ai.nibble.recipe;

import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.Shared;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The recipe for rows of one's own, as it is shipped, learns them. */
final class OwnRowsTest {
  private static final List<String> ROWS =
      List.of(
          "{\"instruction\": \"When does the shop open?\", \"output\": \"At nine.\"}",
          "{\"instruction\": \"Who is the manager?\", \"output\": \"Anna Lindqvist.\"}",
          "{\"instruction\": \"May I bring my dog?\", \"output\": \"Yes, on a lead.\"}",
          "{\"instruction\": \"What is 17 times 6?\", \"output\": \"102\"}");

  @TempDir Path temp;

  /** Four rows, one batch, so that it is quick: each is seen thirty times rather than twenty. */
  @Test
  void answersOfTrainedRowsComeBack() throws IOException {
    Path rows = Files.write(temp.resolve("rows.jsonl"), ROWS);
    Recipe recipe =
        RecipeLoader.load(
            Shared.root().resolve("recipes/own-rows.yaml"),
            List.of(
                "datasets.0.path=" + rows,
                "max_steps=30",
                "generation_eval={path: " + rows + ", type: alpaca, max_new_tokens: 16}",
                "output_dir=" + temp.resolve("out")));
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    PrintStream console = new PrintStream(bytes, true, StandardCharsets.UTF_8);
    new RecipeRun(recipe, console, false).run();
    String printed = bytes.toString(StandardCharsets.UTF_8);
    assertTrue(printed.contains("exact match 0.0 % (0 of 4) at step 0, "), printed);
    assertTrue(printed.contains("exact match 100.0 % (4 of 4) at step 30, "), printed);
  }
}
