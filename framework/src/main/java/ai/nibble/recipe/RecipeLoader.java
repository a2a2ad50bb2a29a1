package ai.nibble.recipe;

import ai.nibble.hub.HubModels;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** Reads recipes. */
public final class RecipeLoader {
  private RecipeLoader() {}

  /**
   * Reads and checks a recipe, and looks for the files it names; reads neither weights nor rows.
   *
   * @param file YAML, at most 1 MiB; the paths in it are relative to it
   * @param sets {@code key=value} each, which win over the file; {@code datasets.0.path=x} reaches
   *     into lists; the paths in them are relative to the working directory
   * @throws ai.nibble.InvalidInputException with all problems, one line each
   */
  public static Recipe load(Path file, List<String> sets) {
    return load(file, sets, false);
  }

  /**
   * As {@link #load}, and checks that the output directory can be written and holds nothing that
   * the run would lose.
   *
   * @throws ai.nibble.InvalidInputException with all problems, one line each
   */
  public static Recipe loadForRun(Path file, List<String> sets) {
    return load(file, sets, true);
  }

  private static Recipe load(Path file, List<String> sets, boolean writes) {
    Problems problems = new Problems();
    Reading at = Reading.begin(problems);
    Optional<Node.Fields> layers = Layers.read(file, at);
    if (layers.isEmpty()) {
      problems.throwIfAny();
    }
    Node.Fields fields = Overrides.apply(layers.orElseThrow(), sets, at);
    Position whole = fields.at().whole();
    Schema.checkNames(fields, problems);
    Map<String, Object> values = Schema.RECIPE.values(Schema.derived(fields), at);
    // Defaults have no place of their own: messages about them name the recipe.
    at.positions().keySet().retainAll(writtenKeys(fields, at));
    Conflicts.check(values, at, whole);
    HubBase.resolve(fields, values, at, HubModels::ofEnvironment);
    InputFiles.check(fields, values, at);
    ModelCheck.check(values, at);
    if (writes) {
      OutputFolder.check(file, values, at);
    }
    problems.throwIfAny();
    Provenance provenance = new Provenance(whole.source(), at.notices(), at.positions());
    return (Recipe) Schema.RECIPE.construct(values, provenance);
  }

  private static List<String> writtenKeys(Node.Fields fields, Reading at) {
    return at.positions().keySet().stream()
        .filter(key -> fields.fields().containsKey(key.split("\\.", 2)[0]))
        .toList();
  }
}
