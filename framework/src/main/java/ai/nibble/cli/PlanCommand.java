package ai.nibble.cli;

import ai.nibble.InvalidInputException;
import ai.nibble.plan.Sizes;
import ai.nibble.recipe.Recipe;
import ai.nibble.recipe.RecipeLoader;
import ai.nibble.recipe.RecipePlan;
import java.io.PrintWriter;
import java.util.List;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** {@code nibble plan}. */
@Command(
    name = "plan",
    description =
        "Says what memory a recipe's run needs, by phase and use, and what disk, before anything loads.",
    sortOptions = false,
    footer = {
      "",
      "Exit code 0 where the run fits, 1 where it does not, 2 for what would stop it anyway.",
      "How it is computed, and how well it agrees with what is measured: docs/plan.md",
      "Example:",
      "  nibble plan --config recipes/a.yaml --device-memory 24GiB"
    })
final class PlanCommand implements Callable<Integer> {
  @Spec private CommandSpec spec;
  @Mixin private CommonOptions common;
  @Mixin private RecipeOptions named;

  @Option(
      names = "--device-memory",
      paramLabel = "SIZE",
      split = ",",
      description =
          "Plans for a GPU of this size, such as 24GiB, that need not be here; several for several"
              + " GPUs: 24GiB,24GiB.")
  private List<String> deviceMemory = List.of();

  @Option(names = "--json", description = "Prints one JSON object instead.")
  private boolean json;

  @Override
  public Integer call() {
    PrintWriter out = spec.commandLine().getOut();
    PrintWriter err = spec.commandLine().getErr();
    List<Long> devices = deviceMemory.stream().map(PlanCommand::bytes).toList();
    Recipe recipe = RecipeLoader.loadForRun(named.file(), named.sets());
    recipe.notices().forEach(notice -> err.println("note: " + notice));
    err.flush();
    RecipePlan plan = RecipePlan.read(recipe, Lines.to(json ? err : out), devices);
    out.print(json ? PlanText.json(plan) : PlanText.table(plan));
    out.flush();
    plan.requireDisk();
    return plan.fits() ? 0 : Failures.FAILED;
  }

  private static long bytes(String size) {
    return Sizes.parse(size)
        .orElseThrow(
            () ->
                new InvalidInputException(
                    "--device-memory is '" + size + "', expected a size such as 24GiB"));
  }
}
