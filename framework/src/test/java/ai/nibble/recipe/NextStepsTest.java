package ai.nibble.recipe;

import static org.junit.jupiter.api.Assertions.assertEquals;

import ai.nibble.data.Sample;
import ai.nibble.eval.Question;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
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
    NextSteps.print(
        out, command, Path.of("/elsewhere"), recipe, NextSteps.heldOut(recipe, List.of(questions)));
    return bytes.toString(StandardCharsets.UTF_8).lines().map(String::strip).toList();
  }

  private static Sample asked(String... messages) {
    List<Map<String, Object>> turns = new ArrayList<>();
    for (String message : messages) {
      String[] turn = message.split(": ", 2);
      turns.add(Map.of("role", turn[0], "content", turn[1]));
    }
    return new Sample.Conversation(turns, List.of(), 0);
  }

  @Test
  void aRowThatWasTrainedOnIsThePromptWhereNoneIsHeldOut() {
    Sample system = asked("system: Be brief.", "user: a", "assistant: b");
    Sample lines = asked("user: Translate.\nGood morning", "assistant: b");
    Sample unanswered = asked("user: a");
    Sample turns = asked("user: When?", "assistant: At nine.", "user: And on Sundays?");
    Sample text = new Sample.Text("", "Once upon a time");
    Sample prompt = new Sample.Text("2 + 2 =", " 4");
    assertEquals(
        Optional.of(new NextSteps.Prompt("When?", false)),
        NextSteps.trained(List.of(system, lines, unanswered, text, turns, prompt)));
    assertEquals(
        Optional.of(new NextSteps.Prompt("2 + 2 =", true)),
        NextSteps.trained(List.of(text, prompt, turns)));
    assertEquals(Optional.empty(), NextSteps.trained(List.of(system, lines, unanswered, text)));
  }

  @Test
  void whatLiesBelowTheWorkingDirectoryIsNamedFromThere() throws IOException {
    Recipe recipe = new RecipeFiles(temp).load("");
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    PrintStream out = new PrintStream(bytes, true, StandardCharsets.UTF_8);
    NextSteps.print(
        out, "./nibble", temp, recipe, Optional.of(new NextSteps.Prompt("When?", false)));
    assertEquals(
        List.of(
            "try it:",
            "./nibble generate --adapter out --prompt 'When?'",
            "tensorboard --logdir out/runs"),
        bytes.toString(StandardCharsets.UTF_8).lines().map(String::strip).toList());
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
