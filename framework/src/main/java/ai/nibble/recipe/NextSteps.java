package ai.nibble.recipe;

import ai.nibble.eval.Question;
import java.io.PrintStream;
import java.nio.file.Path;
import java.util.List;

/** Commands that use what a run wrote, as a shell takes them. */
final class NextSteps {
  /** Longer ones make no command to read. */
  private static final int LONGEST_PROMPT = 200;

  private NextSteps() {}

  /** Prints them, with the command as the person typed it, which the launcher tells. */
  static void print(PrintStream out, Recipe recipe, List<Question> questions) {
    print(out, System.getProperty("nibble.command", "nibble"), recipe, questions);
  }

  /**
   * Prints them.
   *
   * @param questions held-out ones, possibly none; the first that is short enough is the prompt
   */
  static void print(PrintStream out, String command, Recipe recipe, List<Question> questions) {
    Path output = recipe.output().outputDir();
    String option = recipe.adapter() == Recipe.Adapter.NONE ? " --model " : " --adapter ";
    boolean raw =
        recipe.evaluation().generationEval().map(GenerationEval::type).orElse(null)
            == Dataset.RowType.PROMPT_COMPLETION;
    String prompt =
        questions.stream()
            .filter(Question::standsAlone)
            .map(Question::request)
            .filter(NextSteps::isShort)
            .findFirst()
            .map(request -> (raw ? " --raw" : "") + " --prompt " + quoted(request))
            .orElse(" --prompt \"...\"");
    out.println("try it:");
    out.println("  " + quoted(command) + " generate" + option + quoted(output.toString()) + prompt);
    if (recipe.output().reportTo().contains(Output.Reporter.TENSORBOARD)) {
      out.println("  tensorboard --logdir " + quoted(output.resolve("runs").toString()));
    }
    out.flush();
  }

  private static boolean isShort(String request) {
    return request.length() <= LONGEST_PROMPT && request.chars().noneMatch(Character::isISOControl);
  }

  private static String quoted(String text) {
    return text.matches("[\\w/.,:+@%=-]+") ? text : "'" + text.replace("'", "'\\''") + "'";
  }
}
