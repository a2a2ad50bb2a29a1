package ai.nibble.recipe;

import static org.junit.jupiter.api.Assertions.assertEquals;

import ai.nibble.eval.Question;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The commands that a run ends with, as a shell takes them. */
final class NextStepsTest {
  @TempDir Path temp;

  private static Question question(String request, boolean standsAlone) {
    return new Question(new int[] {1}, request, standsAlone, "answer");
  }

  private List<String> printed(String more, String command, Question... questions)
      throws IOException {
    Recipe recipe = new RecipeFiles(temp).load(more);
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    PrintStream out = new PrintStream(bytes, true, StandardCharsets.UTF_8);
    NextSteps.print(out, command, recipe, List.of(questions));
    return bytes.toString(StandardCharsets.UTF_8).lines().map(String::strip).toList();
  }

  @Test
  void theCommandIsAsItWasTypedAndThePromptAHeldOutRequest() throws IOException {
    assertEquals(
        List.of(
            "try it:",
            "./nibble generate --adapter "
                + temp.resolve("out")
                + " --prompt 'it'\\''s $5; \"go\"'",
            "tensorboard --logdir " + temp.resolve("out/runs")),
        printed("", "./nibble", question("it's $5; \"go\"", true), question("b", true)));
  }

  @Test
  void aRequestThatMakesNoCommandIsPassedOver() throws IOException {
    Question follows = question("and then?", false);
    Question wide = question("x".repeat(201), true);
    Question lines = question("a\nb\u001b[2J", true);
    String start = "'my tools/nibble' generate --model " + temp.resolve("out");
    String more = "adapter: none\nreport_to: []\n";
    String command = "my tools/nibble";
    assertEquals(
        List.of("try it:", start + " --prompt 'Würde?'"),
        printed(more, command, follows, wide, lines, question("Würde?", true)));
    assertEquals(
        List.of("try it:", start + " --prompt \"...\""),
        printed(more, command, follows, wide, lines));
  }

  @Test
  void textIsGoneOnFromRaw() throws IOException {
    String more = "report_to: []\ngeneration_eval: {path: test.jsonl, type: prompt_completion}\n";
    assertEquals(
        "nibble generate --adapter " + temp.resolve("out") + " --raw --prompt a",
        printed(more, "nibble", question("a", true)).get(1));
  }
}
