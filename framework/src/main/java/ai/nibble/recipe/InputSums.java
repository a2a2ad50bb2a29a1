package ai.nibble.recipe;

import ai.nibble.FileProblem;
import ai.nibble.FileSum;
import ai.nibble.InvalidInputException;
import ai.nibble.lora.AdapterStore;
import ai.nibble.model.ModelStore;
import ai.nibble.model.WeightSource;
import ai.nibble.report.ProvenanceFile;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;

/**
 * The sums of all files that a run reads, the base's weights whole. They are taken on threads of
 * their own while rows are encoded and the model is loaded, which read the same files: a processor
 * sums a gigabyte in about a second, so that there is little to wait for before the first step.
 */
final class InputSums implements AutoCloseable {
  /** Files of a base, one after the other from a disk that others read too. */
  private static final int THREADS = 4;

  /** What the file of the adapter that training begins with is called among the data. */
  static final String ADAPTER = "lora_model_dir";

  private static final String INDEX = "model.safetensors.index.json";

  private final Path base;
  private final ExecutorService threads;
  private final Map<String, Future<FileSum>> baseFiles = new LinkedHashMap<>();
  private final Map<String, Path> dataPaths = new LinkedHashMap<>();
  private final Map<Path, Future<FileSum>> dataFiles = new LinkedHashMap<>();

  private InputSums(Path base) {
    this.base = base;
    this.threads =
        Executors.newFixedThreadPool(
            Math.max(1, Math.min(THREADS, Runtime.getRuntime().availableProcessors() / 2)),
            task -> {
              Thread thread = new Thread(task, "input-sums");
              thread.setDaemon(true);
              return thread;
            });
  }

  /** Begins to read the files that a recipe names. */
  static InputSums start(Recipe recipe) {
    InputSums sums = new InputSums(recipe.baseModel());
    try {
      sums.submit(recipe);
      return sums;
    } catch (IOException e) {
      sums.close();
      throw new InvalidInputException(
          recipe.baseModel() + " cannot be read: " + FileProblem.reason(e), e);
    }
  }

  private void submit(Recipe recipe) throws IOException {
    Path directory = WeightSource.directory(base);
    TreeSet<String> beside = new TreeSet<>(ModelStore.COPIED);
    beside.addAll(List.of(ModelStore.CONFIG, INDEX));
    for (String name : beside) {
      if (Files.isRegularFile(directory.resolve(name))) {
        baseFiles.put(name, sum(directory.resolve(name)));
      }
    }
    if (recipe.init() == Recipe.Init.PRETRAINED) {
      for (Path file : RunIdentity.weightFiles(base)) {
        baseFiles.put(file.getFileName().toString(), sum(file));
      }
    }
    data("datasets", recipe.data().datasets());
    data("test_datasets", recipe.data().testDatasets());
    recipe.evaluation().generationEval().ifPresent(eval -> data("generation_eval", eval.dataset()));
    recipe.data().chatTemplate().ifPresent(file -> data("chat_template", file));
    if (recipe.adapter() != Recipe.Adapter.NONE) {
      recipe
          .lora()
          .modelDir()
          .map(dir -> dir.resolve(AdapterStore.WEIGHTS))
          .filter(Files::isRegularFile) // loading it says what is missing
          .ifPresent(file -> data(ADAPTER, file));
    }
  }

  private void data(String key, List<Dataset> datasets) {
    for (int i = 0; i < datasets.size(); i++) {
      data(key + "." + i, datasets.get(i));
    }
  }

  /** A set of several files has a number behind its key for each. */
  private void data(String key, Dataset dataset) {
    List<Path> files = dataset.files();
    for (int i = 0; i < files.size(); i++) {
      data(files.size() == 1 ? key : key + "." + i, files.get(i));
    }
  }

  private void data(String key, Path file) {
    dataPaths.put(key, file);
    dataFiles.computeIfAbsent(file, this::sum);
  }

  private Future<FileSum> sum(Path file) {
    return threads.submit(() -> FileSum.of(file));
  }

  /** The base's, when they are known. */
  ProvenanceFile.Base base() {
    Map<String, FileSum> files = new LinkedHashMap<>();
    baseFiles.forEach((name, sum) -> files.put(name, await(base + ": " + name, sum)));
    return new ProvenanceFile.Base(base.toString(), files);
  }

  /** Those of the rows, the template and an adapter to begin with, when they are known. */
  List<ProvenanceFile.Data> data() {
    List<ProvenanceFile.Data> data = new ArrayList<>();
    dataPaths.forEach(
        (key, path) -> {
          FileSum sum = await(path.toString(), dataFiles.get(path));
          data.add(new ProvenanceFile.Data(key, path.toString(), sum.bytes(), sum.sha256()));
        });
    return data;
  }

  private static FileSum await(String what, Future<FileSum> sum) {
    try {
      return sum.get();
    } catch (ExecutionException e) {
      throw new InvalidInputException(what + " cannot be read: " + e.getCause(), e);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new IllegalStateException("interrupted while " + what + " was read", e);
    }
  }

  /** Stops reading what is not read yet. */
  @Override
  public void close() {
    threads.shutdownNow();
  }
}
