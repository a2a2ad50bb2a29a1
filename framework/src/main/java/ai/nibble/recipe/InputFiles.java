package ai.nibble.recipe;

import ai.nibble.InvalidInputException;
import ai.nibble.data.DataFiles;
import ai.nibble.model.WeightSource;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Stream;

/** Whether the files that a recipe names are there, before anything large is read. */
final class InputFiles {
  private static final RecordType DATASET = RecordType.of(Dataset.class);

  private final Node.Fields fields;
  private final Map<String, Object> values;
  private final Reading at;

  private InputFiles(Node.Fields fields, Map<String, Object> values, Reading at) {
    this.fields = fields;
    this.values = values;
    this.at = at;
  }

  /**
   * @param fields what was written, for messages
   * @param values the keys that could be read
   */
  static void check(Node.Fields fields, Map<String, Object> values, Reading at) {
    InputFiles files = new InputFiles(fields, values, at);
    if (values.get("base_model") instanceof Path model) {
      files.baseModel(model);
    }
    if (values.get("chat_template") instanceof Optional<?> template && template.isPresent()) {
      files.chatTemplate((Path) template.get());
    }
    files.rows("generation_eval");
    files.rows("datasets");
    files.rows("test_datasets");
  }

  /** Looks for the file of a map, or of each in a list. */
  private void rows(String key) {
    Node.Field field = fields.fields().get(key);
    if (field == null) {
      return;
    }
    if (field.value() instanceof Node.Items entries) {
      for (int i = 0; i < entries.items().size(); i++) {
        entry(key + "." + i, entries.items().get(i));
      }
    } else {
      entry(key, field.value());
    }
  }

  /**
   * Looks for an entry's file by its path and split alone, so that a problem of another key, there
   * or in a sibling, hides none that is not there.
   */
  private void entry(String key, Node node) {
    // a map in place of a list, or the other way round, was refused unread
    if (node instanceof Node.Fields entry && at.positions().containsKey(key + ".path")) {
      // what cannot be read was said when the recipe was
      Map<String, Object> read = DATASET.values(entry, Reading.begin(new Problems()));
      if (read.get("path") instanceof Path path && read.get("split") instanceof Optional<?> split) {
        dataset(key + ".path", path, split.map(String.class::cast));
      }
    }
  }

  /** The rows to answer, where the recipe names any and they could be read. */
  static Optional<GenerationEval> generationEval(Map<String, Object> values) {
    return values.get("generation_eval") instanceof Optional<?> eval
        ? eval.map(GenerationEval.class::cast)
        : Optional.empty();
  }

  private void baseModel(Path model) {
    String key = "base_model";
    String expected = ", expected a directory with config.json and safetensors, or a .gguf file";
    if (values.get("init") == Recipe.Init.RANDOM) {
      if (!Files.isRegularFile(model.resolve("config.json"))) {
        problem(
            key,
            "no config.json in "
                + shown(model)
                + ", expected a directory with config.json and tokenizer files: init random takes"
                + " the model's shape from it");
      }
    } else if (!Files.exists(model)) {
      problem(key, "nothing at " + shown(model) + expected + whereFrom(key, "DIR"));
    } else if (Files.isDirectory(model)) {
      modelDirectory(key, model, expected);
    } else if (Files.isRegularFile(model) && model.toString().endsWith(".gguf")) {
      gguf(key, model);
    } else {
      problem(key, shown(model) + " is another kind of file" + expected);
    }
  }

  /** Either its configuration and tokenizer lie beside it, or it has both in itself. */
  private void gguf(String key, Path model) {
    try {
      Path directory = WeightSource.directory(model);
      if (!Files.isRegularFile(directory.resolve("tokenizer.json"))) {
        problem(
            key,
            "no tokenizer.json beside "
                + shown(model.getFileName())
                + ": put the original model's tokenizer.json there, or the file into a directory"
                + " of its own");
      }
    } catch (InvalidInputException e) {
      e.problems().forEach(problem -> problem(key, escaped(problem)));
    }
  }

  private void modelDirectory(String key, Path model, String expected) {
    List<String> names = names(model);
    if (names.isEmpty()) {
      problem(key, shown(model) + " is an empty directory" + expected);
      return;
    }
    if (!names.contains("config.json")) {
      problem(key, "no config.json in " + shown(model) + expected);
    }
    if (names.stream().anyMatch(name -> name.endsWith(".safetensors"))) {
      return;
    }
    Optional<String> gguf = names.stream().filter(name -> name.endsWith(".gguf")).findFirst();
    Optional<String> pickle =
        names.stream().filter(name -> name.matches(".*\\.(bin|pt|pth|ckpt|pkl)")).findFirst();
    String remedy = expected;
    if (gguf.isPresent()) {
      remedy = "; for the GGUF there, name the file: " + shown(model.resolve(gguf.get()));
    } else if (pickle.isPresent()) {
      remedy =
          ", only "
              + Problems.shown(pickle.get())
              + ": pickle is not loaded, convert it to safetensors";
    }
    problem(key, "no .safetensors in " + shown(model) + remedy);
  }

  private static List<String> names(Path directory) {
    try (Stream<Path> entries = Files.list(directory)) {
      // More than any model has; a home directory given by mistake is not read to its end.
      return entries.limit(10_000).map(p -> p.getFileName().toString()).sorted().toList();
    } catch (IOException e) {
      return List.of();
    }
  }

  private void chatTemplate(Path template) {
    if (!Files.isRegularFile(template)) {
      String expected = ", expected 'tokenizer_default' or a file with a Jinja template";
      problem("chat_template", "no file at " + shown(template) + expected);
    }
  }

  private void dataset(String key, Path path, Optional<String> split) {
    if (Files.isDirectory(path) || !Files.exists(path) && DataFiles.isPattern(path)) {
      directory(key, path, split);
    } else if (!Files.exists(path)) {
      String remedy = ", expected a file of rows" + whereFrom(key, "FILE");
      problem(key, "nothing at " + shown(path) + remedy);
    } else if (!Files.isRegularFile(path)) {
      problem(key, shown(path) + " is not a regular file, expected a file of rows");
    } else if (!Files.isReadable(path)) {
      problem(key, shown(path) + " cannot be read: check its permissions");
    } else if (split.filter(name -> !name.equals("train")).isPresent()) {
      String name = Problems.shown(split.get());
      problem(key, shown(path) + " is a file, which has no split '" + name + "': remove 'split'");
    }
  }

  /** Whether a directory has the split, or a pattern matches any file. */
  private void directory(String key, Path path, Optional<String> split) {
    try {
      DataFiles.find(path, split);
    } catch (InvalidInputException e) {
      problem(key, escaped(e.getMessage()));
    }
  }

  /** The way out where nothing is: what looks like a Hugging Face id was meant as one. */
  private String whereFrom(String key, String kind) {
    String set = "--set " + key + "=" + kind;
    return written(key).matches("[A-Za-z0-9][\\w.-]*/[\\w.-]+")
        ? "; a data set's Hugging Face id is not downloaded: fetch it and give the local path with "
            + set
        : ": check the path, or give it with " + set;
  }

  /** The text of a key, for example of {@code datasets.0.path}. */
  private String written(String key) {
    Node node = fields;
    for (String step : key.split("\\.")) {
      node =
          node instanceof Node.Fields map
              ? map.fields().get(step).value()
              : ((Node.Items) node).items().get(Integer.parseInt(step));
    }
    return node instanceof Node.Scalar scalar ? scalar.text() : "";
  }

  private static String shown(Path path) {
    String text = path.toString();
    return "'" + (text.length() > 200 ? Problems.shown(text) : escaped(text)) + "'";
  }

  private static String escaped(String text) {
    return text.chars().anyMatch(Character::isISOControl) ? Problems.shown(text) : text;
  }

  private void problem(String key, String what) {
    at.problems().add(at.positions().get(key), "'" + key + "': " + what);
  }
}
