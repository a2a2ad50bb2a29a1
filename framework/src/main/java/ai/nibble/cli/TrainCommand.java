package ai.nibble.cli;

import ai.nibble.recipe.Recipe;
import ai.nibble.recipe.RecipeLoader;
import java.io.PrintWriter;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
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
  @Mixin private RecipeOptions named;

  @Option(
      names = "--dry-run",
      description =
          "Checks all that a run checks before it reads weights, rows too, prints the recipe"
              + " resolved, and stops.")
  private boolean dryRun;

  TrainCommand(TrainRun run) {
    this.run = run;
  }

  @Override
  public Integer call() {
    PrintWriter out = spec.commandLine().getOut();
    PrintWriter err = spec.commandLine().getErr();
    Recipe recipe = RecipeLoader.loadForRun(named.file(), named.sets());
    recipe.notices().forEach(notice -> err.println("note: " + notice));
    err.flush();
    if (dryRun) {
      run.check(recipe, Lines.to(err)); // standard output has the recipe alone
    }
    out.println("# the recipe, resolved");
    out.print(recipe.resolvedYaml());
    out.flush();
    return dryRun ? 0 : run.run(recipe, out);
  }
}
