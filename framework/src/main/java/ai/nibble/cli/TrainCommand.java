package ai.nibble.cli;

import ai.nibble.InvalidInputException;
import ai.nibble.recipe.Recipe;
import ai.nibble.recipe.RecipeLoader;
import java.io.PrintWriter;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code nibble train}. */
@Command(
    name = "train",
    description = "Fine-tunes a model as a recipe says.",
    sortOptions = false,
    footer = {
      "",
      "Recipes and all their keys: recipes/README.md",
      "Example:",
      "  nibble train --config recipes/a.yaml --set learning_rate=1e-4 \\",
      "      --set datasets.0.path=rows.jsonl"
    })
final class TrainCommand implements Callable<Integer> {
  private final TrainRun run;

  @Spec private CommandSpec spec;
  @Mixin private CommonOptions common;

  @Parameters(index = "0", arity = "0..1", paramLabel = "FILE", description = "The recipe.")
  private String positional;

  @Option(
      names = {"-c", "--config"},
      paramLabel = "FILE",
      description = "Another way to name the recipe; one of the two.")
  private String config;

  @Option(
      names = "--set",
      paramLabel = "KEY=VALUE",
      description = "Sets a key of the recipe; datasets.0.path=x reaches into lists.")
  private List<String> sets = List.of();

  @Option(names = "--dry-run", description = "Checks the recipe and prints it resolved, no more.")
  private boolean dryRun;

  TrainCommand(TrainRun run) {
    this.run = run;
  }

  @Override
  public Integer call() {
    PrintWriter out = spec.commandLine().getOut();
    PrintWriter err = spec.commandLine().getErr();
    Recipe recipe = RecipeLoader.loadForRun(file(), sets);
    recipe.notices().forEach(notice -> err.println("note: " + notice));
    err.flush();
    out.println("# the recipe, resolved");
    out.print(recipe.resolvedYaml());
    out.flush();
    return dryRun ? 0 : run.run(recipe, out);
  }

  private Path file() {
    if (positional != null && config != null) {
      throw usage("The recipe is given twice, as '" + positional + "' and --config: give one");
    }
    String file = positional != null ? positional : config;
    if (file == null) {
      throw usage("Missing required parameter: FILE, the recipe");
    }
    if (file.isEmpty() || file.equals("-")) {
      throw usage("The recipe is '" + file + "', expected a file: standard input is not read");
    }
    try {
      return Path.of(file);
    } catch (InvalidPathException e) {
      throw new InvalidInputException("the recipe's name is no path: " + e.getReason(), e);
    }
  }

  private ParameterException usage(String line) {
    return new ParameterException(spec.commandLine(), line);
  }
}
