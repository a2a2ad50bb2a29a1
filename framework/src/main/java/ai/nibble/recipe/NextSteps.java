package ai.nibble.recipe;

import ai.nibble.data.Sample;
import ai.nibble.eval.Question;
import java.io.PrintStream;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** Commands that use what a run wrote, as a shell takes them. */
final class NextSteps {
  /** Longer ones make no command to read. */
  private static final int LONGEST_PROMPT = 200;

  private NextSteps() {}

  /**
   * Something to ask what was trained.
   *
   * @param text short, of one line
   * @param raw whether it is gone on from as it is, without the chat template
   */
  record Prompt(String text, boolean raw) {}

  /** The first held-out question that makes a command to read. */
  static Optional<Prompt> heldOut(Recipe recipe, List<Question> questions) {
    boolean raw =
        recipe.evaluation().generationEval().map(GenerationEval::type).orElse(null)
            == Dataset.RowType.PROMPT_COMPLETION;
    return questions.stream()
        .filter(Question::standsAlone)
        .map(Question::request)
        .filter(NextSteps::isShort)
        .findFirst()
        .map(request -> new Prompt(request, raw));
  }

  /** The first question of the rows that makes a command to read. */
  static Optional<Prompt> trained(List<Sample> rows) {
    return rows.stream().flatMap(row -> question(row).stream()).findFirst();
  }

  /** What a row asks first, where nothing stands before it and an answer behind it. */
  private static Optional<Prompt> question(Sample row) {
    if (row instanceof Sample.Pair pair) {
      return question(pair.chosen());
    }
    if (row instanceof Sample.Judged judged) {
      return question(judged.answer());
    }
    if (row instanceof Sample.Text text) {
      return Optional.of(new Prompt(text.prompt(), true)).filter(p -> isShort(p.text()));
    }
    Sample.Conversation conversation = (Sample.Conversation) row;
    Map<String, Object> first = conversation.messages().get(0);
    return conversation.messages().size() > 1
            && conversation.tools().isEmpty()
            && "user".equals(first.get("role"))
            && first.get("content") instanceof String request
            && isShort(request)
        ? Optional.of(new Prompt(request, false))
        : Optional.empty();
  }

  /** Prints them, with the command as the person typed it, which the launcher tells. */
  static void print(PrintStream out, Recipe recipe, Optional<Prompt> prompt) {
    String command = System.getProperty("nibble.command", "nibble");
    print(out, command, Path.of("").toAbsolutePath(), recipe, prompt);
  }

  /**
   * Prints them.
   *
   * @param here the working directory, absolute: what lies below it is named from there
   */
  static void print(
      PrintStream out, String command, Path here, Recipe recipe, Optional<Prompt> prompt) {
    Path output = recipe.output().outputDir();
    Path named = output.startsWith(here) && !output.equals(here) ? here.relativize(output) : output;
    String option = recipe.adapter() == Recipe.Adapter.NONE ? " --model " : " --adapter ";
    String asked =
        prompt
            .map(p -> (p.raw() ? " --raw" : "") + " --prompt " + quoted(p.text()))
            .orElse(" --prompt \"...\"");
    out.println("try it:");
    out.println("  " + quoted(command) + " generate" + option + quoted(named.toString()) + asked);
    if (recipe.output().reportTo().contains(Output.Reporter.TENSORBOARD)) {
      out.println("  tensorboard --logdir " + quoted(named.resolve("runs").toString()));
    }
    out.flush();
  }

  private static boolean isShort(String request) {
    return !request.isBlank()
        && request.length() <= LONGEST_PROMPT
        && request.chars().noneMatch(Character::isISOControl);
  }

  private static String quoted(String text) {
    return text.matches("[\\w/.,:+@%=-]+") ? text : "'" + text.replace("'", "'\\''") + "'";
  }
}
