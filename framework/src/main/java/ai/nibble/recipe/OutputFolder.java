package ai.nibble.recipe;

import ai.nibble.FileProblem;
import ai.nibble.InvalidInputException;
import ai.nibble.WholeDirectory;
import ai.nibble.checkpoint.CheckpointFolder;
import ai.nibble.lora.AdapterConfigFile;
import ai.nibble.lora.AdapterStore;
import ai.nibble.model.ModelStore;
import java.io.IOException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/** Whether a run may write to {@code output_dir}; leaves nothing behind there. */
final class OutputFolder {
  private static final String KEY = "output_dir";

  private static final Set<String> ADAPTER =
      Set.of(AdapterStore.WEIGHTS, AdapterConfigFile.NAME, ModelStore.CHAT_TEMPLATE);

  private static final Set<String> MODEL =
      Stream.concat(Stream.of(ModelStore.WEIGHTS, ModelStore.CONFIG), ModelStore.COPIED.stream())
          .collect(Collectors.toUnmodifiableSet());

  /** What every run writes, and what one that was killed may have left. */
  private static final Pattern OTHERS =
      Pattern.compile(
          "metrics\\.jsonl|runs|run\\.json|report\\.html|provenance\\.json|recording(-\\d+)?\\.jfr|answers\\.jsonl|checkpoint-\\d+|\\.(tmp|old)-checkpoint-\\d+|loftq_base|\\.loftq_base\\.unfinished"
              + "|\\.[\\w.]+\\.[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\\.tmp");

  /** What a file's writer may have left where it was killed. */
  private static final Pattern TEMPORARY = Pattern.compile("\\.[\\w.]+\\.tmp");

  private OutputFolder() {}

  /**
   * @param recipe the recipe's file, which must not be written over either
   * @param values the keys that could be read
   */
  static void check(Path recipe, Map<String, Object> values, Reading at) {
    if (values.get(KEY) instanceof Path output) {
      // one that goes on may find what it has written before
      boolean resumes =
          values.get("resume_from_checkpoint") instanceof Optional<?> o && o.isPresent();
      boolean overwrite = resumes || Boolean.TRUE.equals(values.get("overwrite_output_dir"));
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
          put(inputs, key + "." + i, (Dataset) datasets.get(i));
        }
      }
    }
    InputFiles.generationEval(values)
        .ifPresent(eval -> put(inputs, "generation_eval", eval.dataset()));
    return inputs;
  }

  private static void put(Map<String, Path> inputs, String key, Dataset dataset) {
    List<Path> files = dataset.files();
    for (int i = 0; i < files.size(); i++) {
      String which = files.size() == 1 ? "" : " (file " + (i + 1) + ")";
      inputs.put("'" + key + "'" + which, files.get(i));
    }
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
      return "which is not empty, expected a new or empty directory: "
          + goingOn(output)
          + "choose another, or set overwrite_output_dir: true";
    }
    Optional<String> foreign = overwrite ? foreign(output) : Optional.empty();
    return foreign.isPresent() ? "which " + foreign.get() : unwritable(output);
  }

  /** What loses nothing comes first. */
  private static String goingOn(Path output) {
    return CheckpointFolder.newest(output, skipped -> {})
        .map(
            saved ->
                "set resume_from_checkpoint: auto to go on from "
                    + saved.directory().getFileName()
                    + ", ")
        .orElse("");
  }

  private static boolean holdsSomething(Path output) {
    try (DirectoryStream<Path> entries = Files.newDirectoryStream(output)) {
      for (Path entry : entries) {
        if (!entry.getFileName().toString().equals(OutputLock.NAME)) {
          return true; // a lock alone is left by a run that was killed before it wrote anything
        }
      }
      return false;
    } catch (IOException e) {
      return false;
    }
  }

  /**
   * Writes and removes a file in the nearest directory that is there: permissions alone can lie.
   */
  private static String unwritable(Path output) {
    Path nearest = nearest(output);
    if (!Files.isDirectory(nearest)) {
      return "but '" + Problems.shown(nearest.toString()) + "' is a file: choose another";
    }
    try {
      Files.delete(Files.createTempFile(nearest, ".nibble", null));
      return null;
    } catch (IOException e) {
      return "which cannot be written ("
          + FileProblem.reason(e)
          + "): check its permissions or choose another";
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
   * Bytes that a run can fill: those that are free, and those of checkpoints and weights there that
   * it keeps as its own or removes.
   */
  static long freeBytes(Output output) {
    Path directory = output.outputDir();
    try {
      long own = 0;
      if (output.overwriteOutputDir() || output.resumeFromCheckpoint().isPresent()) {
        for (String name : Files.isDirectory(directory) ? written(directory) : List.<String>of()) {
          own += bytes(directory.resolve(name));
        }
      }
      return Files.getFileStore(nearest(directory)).getUsableSpace() + own;
    } catch (IOException e) {
      return Long.MAX_VALUE; // not known here: writing will tell
    }
  }

  private static long bytes(Path path) throws IOException {
    try (Stream<Path> tree = Files.walk(path)) {
      long sum = 0;
      for (Path each : tree.filter(Files::isRegularFile).toList()) {
        sum += Files.size(each);
      }
      return sum;
    }
  }

  /** The path, or what is there of those above it. */
  private static Path nearest(Path path) {
    Path nearest = path.toAbsolutePath();
    while (nearest.getParent() != null && !Files.exists(nearest)) {
      nearest = nearest.getParent();
    }
    return nearest;
  }

  /** By their real paths: what is gone on from must not be cleared away by another name of it. */
  static boolean isIn(Path output, Path checkpoint) throws IOException {
    return Files.isDirectory(output) && checkpoint.toRealPath().startsWith(output.toRealPath());
  }

  /** A name there, where something is and none of it by a run of a recipe. */
  static Optional<String> noRuns(Path output) throws IOException {
    if (!Files.isDirectory(output) || trainedThere(output).isPresent()) {
      return Optional.empty();
    }
    try (Stream<Path> entries = Files.list(output)) {
      return entries
          .map(path -> path.getFileName().toString())
          .filter(name -> !name.equals(OutputLock.NAME) && !TEMPORARY.matcher(name).matches())
          .sorted()
          .findFirst();
    }
  }

  /**
   * Makes the directory, and with {@code overwrite_output_dir} removes what an earlier run wrote
   * there: its adapter or model, checkpoints and logs would pass for this run's. Other files stay.
   * With {@code resume_from_checkpoint} it does so as well, of a run that left nothing worth
   * keeping ({@link ResumePoint}).
   *
   * @throws InvalidInputException if files of such names are there that no recipe's run wrote;
   *     nothing was removed then
   */
  static void prepare(Output output) throws IOException {
    Path directory = output.outputDir();
    Files.createDirectories(directory);
    if (!output.overwriteOutputDir() && output.resumeFromCheckpoint().isEmpty()) {
      return;
    }
    Optional<String> foreign = foreign(directory);
    if (foreign.isPresent()) {
      throw new InvalidInputException(
          "'"
              + KEY
              + "' is '"
              + Problems.shown(directory.toString())
              + "', which "
              + foreign.get());
    }
    for (String name : written(directory)) {
      if (!name.equals(TrainedWith.RECIPE)) {
        WholeDirectory.delete(directory.resolve(name));
      }
    }
    // last: as long as one of the others is there, it says whose they are
    Files.deleteIfExists(directory.resolve(TrainedWith.RECIPE));
  }

  /** Names there of what was trained and how it is to be used: all but logs and checkpoints. */
  static List<String> trainedFiles(Path directory) throws IOException {
    return written(directory).stream()
        .filter(name -> !OTHERS.matcher(name).matches())
        .filter(name -> Files.isRegularFile(directory.resolve(name)))
        .toList();
  }

  /** Names there that a run writes. */
  private static List<String> written(Path directory) throws IOException {
    try (Stream<Path> entries = Files.list(directory)) {
      return entries
          .map(path -> path.getFileName().toString())
          .filter(name -> ADAPTER.contains(name) || MODEL.contains(name) || isOther(name))
          .sorted()
          .toList();
    }
  }

  private static boolean isOther(String name) {
    return name.equals(TrainedWith.RECIPE) || OTHERS.matcher(name).matches();
  }

  /**
   * Why overwriting would lose what is not ours: a name that a run writes, in a folder whose recipe
   * did not write it, is a downloaded model, or somebody's logs.
   */
  private static Optional<String> foreign(Path directory) {
    try {
      if (!Files.isDirectory(directory)) {
        return Optional.empty();
      }
      Optional<Recipe.Adapter> trained = trainedThere(directory);
      Set<String> own = trained.equals(Optional.of(Recipe.Adapter.NONE)) ? MODEL : ADAPTER;
      return written(directory).stream()
          .filter(name -> trained.isEmpty() || !own.contains(name) && !isOther(name))
          .findFirst()
          .map(
              name ->
                  "holds '"
                      + name
                      + "', which is no earlier run's by a recipe.yaml there: overwrite_output_dir"
                      + " would delete it; choose another directory, or remove it yourself");
    } catch (IOException e) {
      return Optional.of(
          "cannot be listed ("
              + FileProblem.reason(e)
              + "): check its permissions or choose another");
    }
  }

  private static Optional<Recipe.Adapter> trainedThere(Path directory) {
    if (!Files.isRegularFile(directory.resolve(TrainedWith.RECIPE))) {
      return Optional.empty();
    }
    try {
      return TrainedWith.read(directory)
          .filter(recipe -> recipe.baseModel().isPresent())
          .flatMap(TrainedWith::adapter);
    } catch (InvalidInputException e) {
      return Optional.empty(); // not a recipe
    }
  }
}
