package ai.nibble.recipe;

import ai.nibble.FileSum;
import ai.nibble.Sha256;
import ai.nibble.data.Example;
import ai.nibble.gguf.GgufFile;
import ai.nibble.model.ModelStore;
import ai.nibble.report.ProvenanceFile;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/**
 * What must be the same in a run that goes on from a checkpoint: settings that the trained bits
 * depend on, and fingerprints of the base and of the rows as they are trained on. Files may have
 * moved meanwhile.
 */
final class RunIdentity {
  /** Keys that change nothing that is trained, or whose effect the fingerprints hold. */
  private static final Set<String> FREE =
      Set.of(
          "base_model",
          "datasets",
          "test_datasets",
          "val_set_size",
          "chat_template",
          "excess_length_limit",
          "dataset_prepared_path",
          "dataset_num_proc",
          "output_dir",
          "overwrite_output_dir",
          "resume_from_checkpoint",
          "resume_with_changes",
          "save_steps",
          "saves_per_epoch",
          "save_total_limit",
          "logging_steps",
          "report_to",
          "eval_steps",
          "evals_per_epoch",
          "eval_batch_size",
          "eval_sample_packing",
          "generation_eval",
          "gradient_checkpointing",
          "keep_dequantized_layers",
          "devices");

  /** Keys that change what is trained where evaluations end the run or choose its result. */
  private static final Set<String> EVALUATING =
      Set.of("eval_steps", "evals_per_epoch", "eval_batch_size", "save_steps", "saves_per_epoch");

  private static final String TRAIN = "train";
  private static final String EVAL = "eval";

  /** Hexadecimal digits of a sum that are kept: 64 bits are enough to tell accidents apart. */
  private static final int DIGITS = 16;

  private final Recipe recipe;
  private final RecipeRows rows;
  private final InputSums sums;
  private Map<String, ProvenanceFile.Rows> rowSums;
  private Map<String, String> values;

  /**
   * @param rows in the order that they are trained on
   * @param sums of the base's files, under way
   */
  RunIdentity(Recipe recipe, RecipeRows rows, InputSums sums) {
    this.recipe = recipe;
    this.rows = rows;
    this.sums = sums;
  }

  /** The recipe of the run. */
  Recipe recipe() {
    return recipe;
  }

  /** The rows of the run. */
  RecipeRows rows() {
    return rows;
  }

  /** Settings that the trained bits depend on, known before rows and weights are read. */
  static Map<String, String> settings(Recipe recipe) {
    Map<String, String> identity = new LinkedHashMap<>();
    boolean evaluationsDecide = recipe.evaluation().decides();
    boolean preferences = recipe.method().learnsFromPreferences();
    Map<?, ?> settings = (Map<?, ?>) Schema.RECIPE.write(recipe);
    settings.forEach(
        (key, value) -> {
          boolean decides = !Schema.PREFERENCE.contains(key) || preferences;
          if (decides && !FREE.contains(key) || evaluationsDecide && EVALUATING.contains(key)) {
            identity.put((String) key, String.valueOf(value));
          }
        });
    return identity;
  }

  /** Those of another run's identity that are settings, not fingerprints. */
  static Map<String, String> settings(Recipe recipe, Map<String, String> identity) {
    Map<String, String> settings = new LinkedHashMap<>(identity);
    settings.keySet().retainAll(((Map<?, ?>) Schema.RECIPE.write(recipe)).keySet());
    return settings;
  }

  /** All of it; the first call waits for the sums of the base's files. */
  Map<String, String> values() {
    if (values == null) {
      values = Map.copyOf(compute());
    }
    return values;
  }

  private Map<String, String> compute() {
    Map<String, String> identity = settings(recipe);
    putBase(identity);
    putReference(identity);
    identity.put("training rows", fingerprint(TRAIN));
    if (rows.sets().stream().anyMatch(set -> set.weight() != 1)) {
      identity.put(
          "weights of training rows",
          rows.sets().stream()
              .map(set -> set.weight() + " of " + set.rows())
              .collect(Collectors.joining(", ")));
    }
    if (recipe.evaluation().decides()) {
      identity.put("evaluation rows", fingerprint(EVAL));
    }
    return identity;
  }

  /** Whole files: a base that was trained on since differs in few bytes here and there. */
  private void putBase(Map<String, String> identity) {
    Map<String, FileSum> files = sums.base().files();
    boolean alone = Files.isRegularFile(recipe.baseModel());
    int parts = 0;
    for (Map.Entry<String, FileSum> file : files.entrySet()) {
      String name = file.getKey();
      if (isWeights(name) && alone) {
        // by its place: a file may have another name by now
        name = ++parts == 1 ? "weights" : "weights, part " + parts + ",";
      } else if (!isWeights(name) && !name.equals(ModelStore.CONFIG)) {
        continue; // what it decides is in the rows
      }
      identity.put(name + " of base_model", file.getValue().sha256().substring(0, DIGITS));
    }
  }

  /** A run that goes on measures against the adapter that it began with, which it reads again. */
  private void putReference(Map<String, String> identity) {
    if (recipe.method().hasReference()
        && recipe.preference().refAdapter() == Preference.RefAdapter.START) {
      sums.data().stream()
          .filter(file -> file.key().equals(InputSums.ADAPTER))
          .forEach(
              file ->
                  identity.put("weights of lora_model_dir", file.sha256().substring(0, DIGITS)));
    }
  }

  private String fingerprint(String which) {
    ProvenanceFile.Rows sum = rowSums().get(which);
    return sum == null ? "0 rows" : sum.rows() + " rows, " + sum.sha256().substring(0, DIGITS);
  }

  /** The rows' sums, by what they are for. */
  Map<String, ProvenanceFile.Rows> rowSums() {
    if (rowSums == null) {
      rowSums = new LinkedHashMap<>();
      rowSums.put(TRAIN, sum(rows.train()));
      if (!rows.eval().isEmpty()) {
        rowSums.put(EVAL, sum(rows.eval()));
      }
    }
    return rowSums;
  }

  private static ProvenanceFile.Rows sum(List<Example> rows) {
    long tokens = rows.stream().mapToLong(Example::length).sum();
    return new ProvenanceFile.Rows(rows.size(), tokens, Sha256.hex(digest(rows)));
  }

  /** The sum of every row's length, tokens, labels and kind, to be ended. */
  private static MessageDigest digest(List<Example> rows) {
    MessageDigest digest = Sha256.start();
    for (Example row : rows) {
      ByteBuffer bytes = ByteBuffer.allocate(2 * Integer.BYTES * row.length() + Integer.BYTES);
      bytes.putInt(row.length());
      for (int id : row.inputIds()) {
        bytes.putInt(id);
      }
      for (int label : row.labels()) {
        bytes.putInt(label);
      }
      digest.update(bytes.flip());
      if (row.kind() != Example.Kind.PLAIN) {
        digest.update((row.kind() + " " + row.second()).getBytes(StandardCharsets.US_ASCII));
      }
    }
    return digest;
  }

  /** The base's files of weights, by name. */
  static List<Path> weightFiles(Path base) throws IOException {
    if (Files.isRegularFile(base)) {
      return GgufFile.files(base);
    }
    try (Stream<Path> entries = Files.list(base)) {
      return entries.filter(p -> isWeights(p.toString())).sorted().toList();
    }
  }

  private static boolean isWeights(String name) {
    return name.endsWith(".safetensors") || name.endsWith(".gguf");
  }
}
