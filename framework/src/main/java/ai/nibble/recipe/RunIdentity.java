package ai.nibble.recipe;

import ai.nibble.InvalidInputException;
import ai.nibble.Sha256;
import ai.nibble.data.Example;
import ai.nibble.gguf.GgufFile;
import ai.nibble.model.ModelStore;
import ai.nibble.model.WeightSource;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
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
          "gradient_checkpointing");

  /** Keys that change what is trained where evaluations end the run or choose its result. */
  private static final Set<String> EVALUATING =
      Set.of("eval_steps", "evals_per_epoch", "eval_batch_size", "save_steps", "saves_per_epoch");

  /** Parts of a weights file that are read: all of it would take minutes for a large base. */
  private static final int SAMPLES = 64;

  private static final int SAMPLE_BYTES = 1 << 14;

  private RunIdentity() {}

  /**
   * @param rows in the order that they are trained on
   */
  static Map<String, String> of(Recipe recipe, RecipeRows rows) {
    Map<String, String> identity = new LinkedHashMap<>();
    boolean evaluationsDecide = recipe.evaluation().decides();
    Map<?, ?> settings = (Map<?, ?>) Schema.RECIPE.write(recipe);
    settings.forEach(
        (key, value) -> {
          if (!FREE.contains(key) || evaluationsDecide && EVALUATING.contains(key)) {
            identity.put((String) key, String.valueOf(value));
          }
        });
    identity.put("weights of base_model", base(recipe));
    identity.put("training rows", fingerprint(rows.train()));
    if (rows.sets().stream().anyMatch(set -> set.weight() != 1)) {
      identity.put(
          "weights of training rows",
          rows.sets().stream()
              .map(set -> set.weight() + " of " + set.rows())
              .collect(Collectors.joining(", ")));
    }
    if (evaluationsDecide) {
      identity.put("evaluation rows", fingerprint(rows.eval()));
    }
    return identity;
  }

  private static String fingerprint(List<Example> rows) {
    return rows.size() + " rows, " + Sha256.shortHex(rows(rows));
  }

  /** The sum of every row's length, tokens and labels, to be ended. */
  static MessageDigest rows(List<Example> rows) {
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
    }
    return digest;
  }

  /** SHA-256 of config.json, and of sizes and samples of the files of weights. */
  private static String base(Recipe recipe) {
    Path base = recipe.baseModel();
    MessageDigest digest = Sha256.start();
    try {
      digest.update(Files.readAllBytes(WeightSource.directory(base).resolve(ModelStore.CONFIG)));
      if (recipe.init() == Recipe.Init.PRETRAINED) {
        for (Path file : weightFiles(base)) {
          sample(file, digest);
        }
      }
      return Sha256.shortHex(digest);
    } catch (IOException e) {
      throw new InvalidInputException(base + " cannot be read: " + e, e);
    }
  }

  /** The base's files of weights, by name. */
  static List<Path> weightFiles(Path base) throws IOException {
    if (Files.isRegularFile(base)) {
      return GgufFile.files(base);
    }
    try (Stream<Path> entries = Files.list(base)) {
      return entries
          .filter(p -> p.toString().endsWith(".safetensors") || p.toString().endsWith(".gguf"))
          .sorted()
          .toList();
    }
  }

  private static void sample(Path file, MessageDigest digest) throws IOException {
    try (FileChannel channel = FileChannel.open(file)) {
      long size = channel.size();
      digest.update(ByteBuffer.allocate(Long.BYTES).putLong(size).flip());
      long bytes = Math.min(size, SAMPLE_BYTES);
      for (int i = 0; i < SAMPLES; i++) {
        long begin = (size - bytes) / (SAMPLES - 1) * i;
        Sha256.update(digest, channel, begin, begin + bytes);
      }
    }
  }
}
