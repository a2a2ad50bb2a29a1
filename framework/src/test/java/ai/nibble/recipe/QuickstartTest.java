package ai.nibble.recipe;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.Shared;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The recipe that a first use runs, as it is shipped, on its first rows. */
final class QuickstartTest {
  private static final int STEPS = 20;

  @TempDir Path temp;

  @Test
  void itTrainsAndComparesAnswersBeforeAndAfter() throws IOException {
    Path out = temp.resolve("out");
    Recipe recipe =
        RecipeLoader.load(
            Shared.root().resolve("recipes/quickstart.yaml"),
            List.of(
                "max_steps=" + STEPS,
                "micro_batch_size=8",
                "datasets.0.limit=160",
                "generation_eval.limit=4",
                "generation_eval.show=2",
                "generation_eval.max_new_tokens=32",
                "output_dir=" + out));
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    PrintStream console = new PrintStream(bytes, true, StandardCharsets.UTF_8);
    new RecipeRun(recipe, console, false).run();
    String printed = bytes.toString(StandardCharsets.UTF_8);

    List<Double> losses = new ArrayList<>();
    for (String line : Files.readAllLines(out.resolve("metrics.jsonl"))) {
      JsonNode metrics = new ObjectMapper().readTree(line);
      if (metrics.has("loss")) {
        losses.add(metrics.get("loss").doubleValue());
      }
    }
    assertEquals(STEPS, losses.size());
    double first = mean(losses.subList(0, 5));
    double last = mean(losses.subList(STEPS - 5, STEPS));
    // the form of an answer is learned at once: 5.9 and about 1 were measured
    assertTrue(last < first / 3, "loss " + first + " in the first steps, " + last + " in the last");
    assertTrue(printed.contains("exact match 0.0 % (0 of 4) at step 0, "), printed);
    assertTrue(
        printed.matches("(?s).*exact match [0-9.]+ % \\([0-4] of 4\\) at step 20, .*"), printed);
    // two rows, shown before training and again with the answers after it
    for (String line : List.of("request", "expected", "before")) {
      assertEquals(4, shown(printed, line), printed);
    }
    assertEquals(2, shown(printed, "after"), printed);
    assertTrue(Files.isRegularFile(out.resolve("adapter_model.safetensors")));
  }

  private static long shown(String printed, String what) {
    return printed.lines().filter(line -> line.startsWith("  " + what + " ")).count();
  }

  private static double mean(List<Double> values) {
    return values.stream().mapToDouble(Double::doubleValue).average().orElseThrow();
  }
}
