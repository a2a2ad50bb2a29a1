package ai.nibble.recipe;

import static org.junit.jupiter.api.Assertions.assertThrows;

import ai.nibble.InvalidInputException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** A directory with a model and rows that are just enough to be found, for recipes under test. */
final class RecipeFiles {
  /** Configuration of a Llama of 32 layers. */
  static final String CONFIG =
      "{\"model_type\":\"llama\",\"hidden_size\":64,\"intermediate_size\":128,"
          + "\"num_hidden_layers\":32,\"num_attention_heads\":4,\"vocab_size\":100}";

  /** All that has no default. */
  static final String LEAST =
      """
      base_model: model
      datasets: [{path: rows.jsonl, type: alpaca}]
      learning_rate: 1e-4
      sequence_len: 128
      output_dir: out
      """;

  private final Path directory;

  RecipeFiles(Path directory) throws IOException {
    this.directory = directory;
    Files.createDirectories(directory.resolve("model"));
    write("model/config.json", CONFIG);
    write("model/model.safetensors", "");
    write("rows.jsonl", "{}\n");
    write("test.jsonl", "{}\n");
  }

  Path path(String name) {
    return directory.resolve(name);
  }

  Path write(String name, String text) throws IOException {
    Path file = path(name);
    Files.createDirectories(file.getParent());
    return Files.writeString(file, text);
  }

  /** Loads {@link #LEAST} and then these lines. */
  Recipe load(String more, String... sets) throws IOException {
    return loadText(LEAST + more, sets);
  }

  Recipe loadText(String text, String... sets) throws IOException {
    return RecipeLoader.load(write("a.yaml", text), List.of(sets));
  }

  /** The problems of {@link #LEAST} and these lines, the directory's name left out. */
  List<String> problems(String more, String... sets) throws IOException {
    return problemsOf(LEAST + more, sets);
  }

  List<String> problemsOf(String text, String... sets) throws IOException {
    return problemsOf(write("a.yaml", text), sets);
  }

  List<String> problemsOf(Path file, String... sets) {
    InvalidInputException e =
        assertThrows(InvalidInputException.class, () -> RecipeLoader.load(file, List.of(sets)));
    return relative(e.problems());
  }

  List<String> relative(List<String> lines) {
    List<String> relative = new ArrayList<>();
    for (String line : lines) {
      relative.add(line.replace(directory + "/", ""));
    }
    return relative;
  }
}
