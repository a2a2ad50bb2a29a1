package ai.nibble.recipe;

import ai.nibble.model.ModelStore;
import java.io.IOException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/** Whether a run may write to {@code output_dir}; leaves nothing behind there. */
final class OutputFolder {
  private static final String KEY = "output_dir";

  private static final Pattern WRITTEN =
      Pattern.compile(
          "adapter_config\\.json|adapter_model\\.safetensors|recipe\\.yaml|metrics\\.jsonl|runs"
              + "|answers\\.jsonl|\\.tmp-answers\\.jsonl"
              + "|checkpoint-\\d+|\\.tmp-checkpoint-\\d+|"
              + Stream.concat(
                      Stream.of(ModelStore.WEIGHTS, ModelStore.CONFIG), ModelStore.COPIED.stream())
                  .map(Pattern::quote)
                  .collect(Collectors.joining("|")));

  private OutputFolder() {}

  /**
   * @param recipe the recipe's file, which must not be written over either
   * @param values the keys that could be read
   */
  static void check(Path recipe, Map<String, Object> values, Reading at) {
    if (values.get(KEY) instanceof Path output) {
      boolean overwrite = Boolean.TRUE.equals(values.get("overwrite_output_dir"));
      String problem = problem(output, overwrite, inputs(recipe, values));
      if (problem != null) {
        Position place = at.positions().get(KEY);
        at.problems()
            .add(place, "'" + KEY + "' is '" + Problems.shown(output.toString()) + "', " + problem);
      }
    }
  }

  private static Map<String, Path> inputs(Path recipe, Map<String, Object> values) {
    Map<String, Path> inputs = new LinkedHashMap<>();
    inputs.put("the recipe", recipe);
    if (values.get("base_model") instanceof Path model) {
      inputs.put("'base_model'", model);
    }
    if (values.get("chat_template") instanceof Optional<?> template && template.isPresent()) {
      inputs.put("'chat_template'", (Path) template.get());
    }
    for (String key : List.of("datasets", "test_datasets")) {
      if (values.get(key) instanceof List<?> datasets) {
        for (int i = 0; i < datasets.size(); i++) {
          inputs.put("'" + key + "." + i + "'", ((Dataset) datasets.get(i)).file());
        }
      }
    }
    InputFiles.generationEval(values)
        .ifPresent(eval -> inputs.put("'generation_eval'", eval.path()));
    return inputs;
  }

  private static String problem(Path output, boolean overwrite, Map<String, Path> inputs) {
    Path real = real(output);
    for (Map.Entry<String, Path> input : inputs.entrySet()) {
      if (real(input.getValue()).startsWith(real)) {
        return "where " + input.getKey() + " is, expected a directory of its own: choose another";
      }
    }
    if (Files.exists(output) && !Files.isDirectory(output)) {
      return "which is a file, expected a directory: choose another";
    }
    if (!overwrite && holdsSomething(output)) {
      return "which is not empty, expected a new or empty directory: choose another, or set"
          + " overwrite_output_dir: true";
    }
    return unwritable(output);
  }

  private static boolean holdsSomething(Path output) {
    try (DirectoryStream<Path> entries = Files.newDirectoryStream(output)) {
      return entries.iterator().hasNext();
    } catch (IOException e) {
      return false;
    }
  }

  /**
   * Writes and removes a file in the nearest directory that is there: permissions alone can lie.
   */
  private static String unwritable(Path output) {
    Path nearest = output;
    while (nearest != null && !Files.exists(nearest)) {
      nearest = nearest.getParent();
    }
    if (nearest == null || !Files.isDirectory(nearest)) {
      return "but '" + Problems.shown(String.valueOf(nearest)) + "' is a file: choose another";
    }
    try {
      Files.delete(Files.createTempFile(nearest, ".nibble", null));
      return null;
    } catch (IOException e) {
      String why = e.getClass().getSimpleName();
      return "which cannot be written (" + why + "): check its permissions or choose another";
    }
  }

  /** The path with links followed as far as it exists. */
  private static Path real(Path path) {
    Path absolute = path.toAbsolutePath().normalize();
    for (Path known = absolute; known != null; known = known.getParent()) {
      try {
        return known.toRealPath().resolve(known.relativize(absolute)).normalize();
      } catch (IOException e) {
        // Not there yet: its parent may be.
      }
    }
    return absolute;
  }

  /**
   * Makes the directory, and with {@code overwrite_output_dir} removes what an earlier run wrote
   * there: its adapter or model, checkpoints and logs would pass for this run's. Other files stay.
   */
  static void prepare(Output output) throws IOException {
    Path directory = output.outputDir();
    Files.createDirectories(directory);
    if (!output.overwriteOutputDir()) {
      return;
    }
    List<Path> written;
    try (Stream<Path> entries = Files.list(directory)) {
      written = entries.filter(p -> WRITTEN.matcher(p.getFileName().toString()).matches()).toList();
    }
    for (Path path : written) {
      try (Stream<Path> tree = Files.walk(path)) {
        for (Path each : tree.sorted(Comparator.reverseOrder()).toList()) {
          Files.delete(each);
        }
      }
    }
  }
}
