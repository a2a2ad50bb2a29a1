package ai.nibble.cli;

import ai.nibble.InvalidInputException;
import ai.nibble.hub.HubId;
import ai.nibble.hub.HubModels;
import ai.nibble.recipe.Inspection;
import ai.nibble.recipe.Recipe;
import ai.nibble.recipe.RecipeLoader;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/** {@code nibble inspect}. */
@Command(
    name = "inspect",
    description =
        "Shows what a recipe would train and on what: rows as tokens with their loss mask, lengths,"
            + " packing, the adapter's coverage. Of a model: what it is, how its weights are held,"
            + " and what an adapter can be put on. Reads no weights.",
    sortOptions = false,
    footer = {
      "",
      "Exit code: 0 train would begin; 2 it would refuse, and says so here in the same words.",
      "Of a model: 0 it can be used; 2 it cannot, for the reasons that are given.",
      "Examples:",
      "  nibble inspect --config recipes/a.yaml --rows 1 \\",
      "      --set datasets.0.path=rows.jsonl",
      "  nibble inspect models/base.gguf",
      "  nibble inspect ORGANISATION/NAME   (downloaded before)"
    })
final class InspectCommand implements Callable<Integer> {
  private final boolean colours;

  @Spec private CommandSpec spec;
  @Mixin private CommonOptions common;
  @Mixin private RecipeOptions recipes;

  @Option(
      names = "--rows",
      paramLabel = "N",
      description = "Rows to show (default: ${DEFAULT-VALUE}).")
  private int rows = 3;

  @Option(names = "--json", description = "One JSON object instead of text.")
  private boolean json;

  /**
   * @param colours whether standard output shows them
   */
  InspectCommand(boolean colours) {
    this.colours = colours;
  }

  @Override
  public Integer call() {
    if (rows < 0) {
      throw new ParameterException(
          spec.commandLine(), "--rows is " + rows + ", expected a number from 0 up");
    }
    PrintWriter out = spec.commandLine().getOut();
    PrintWriter err = spec.commandLine().getErr();
    Path named = named();
    if (ModelInspection.isModel(named)) {
      refuseForModel();
      ModelInspection model = ModelInspection.of(named, line -> err.println("note: " + line));
      err.flush();
      out.println(json ? model.json().toPrettyString() : model.text());
      out.flush();
      if (!model.problems().isEmpty()) {
        throw new InvalidInputException(model.problems());
      }
      return 0;
    }
    Recipe recipe = RecipeLoader.load(recipes.file(), recipes.sets());
    recipe.notices().forEach(notice -> err.println("note: " + notice));
    tellOutput(err);
    err.flush();
    Inspection found = Inspection.of(recipe, rows);
    if (json) {
      out.println(InspectJson.of(found, recipe).toPrettyString());
      out.flush();
    } else {
      new InspectText(found, recipe, out, colours).print();
    }
    return 0;
  }

  /** What was named; of a model of the hub its files in the cache, as nothing is fetched here. */
  private Path named() {
    Path file = recipes.file();
    if (Files.exists(file)) {
      return file;
    }
    Optional<HubId> id = HubId.parse(file.toString());
    Optional<Path> cached = id.flatMap(HubModels.ofEnvironment()::cached);
    if (cached.isPresent() || file.toString().matches(".*\\.(ya?ml|gguf|safetensors)")) {
      return cached.orElse(file);
    }
    throw new InvalidInputException(
        file
            + ": there is no such recipe or model"
            + (id.isPresent()
                ? ", nor one of that id in the cache: fetch it with 'nibble download "
                    + file
                    + "', or check the path"
                : ", expected a .yaml file, a model's directory or a .gguf file: check the path"));
  }

  private void refuseForModel() {
    if (!recipes.sets().isEmpty()) {
      throw new ParameterException(
          spec.commandLine(), "--set sets keys of a recipe: leave it out for a model");
    }
  }

  /** An output directory in the way is no fault of the recipe: it is often an earlier run's. */
  private void tellOutput(PrintWriter err) {
    try {
      RecipeLoader.loadForRun(recipes.file(), recipes.sets());
    } catch (InvalidInputException e) {
      e.problems().forEach(problem -> err.println("note: train would refuse: " + problem));
    }
  }
}
