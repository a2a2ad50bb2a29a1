package ai.nibble.model;

import static ai.nibble.model.GgufHyperparameters.ROPE_FREQS;

import ai.nibble.InvalidInputException;
import ai.nibble.gguf.GgufFile;
import ai.nibble.gguf.GgufMetadata;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;

/**
 * Compares what a GGUF file says of its model with {@code config.json}; both describe the same
 * computation, so any difference means that the two do not belong together.
 *
 * <p>Keys that a converter left out are not compared: what they say shows in the tensors' shapes or
 * has the same default on both sides.
 */
final class GgufConfigCheck {
  private final GgufFile file;
  private final GgufMetadata metadata;
  private final ModelConfig config;
  private final Consumer<String> notices;
  private final List<String> problems = new ArrayList<>();

  GgufConfigCheck(GgufFile file, ModelConfig config, Consumer<String> notices) {
    this.file = file;
    this.metadata = file.metadata();
    this.config = config;
    this.notices = line -> notices.accept(file.path() + ": " + line);
  }

  /**
   * @throws InvalidInputException with a line for each difference
   */
  void run() {
    String architecture = metadata.getString("general.architecture");
    String expected = GgufHyperparameters.architecture(config);
    if (!architecture.equals(expected)) {
      problem(
          "general.architecture",
          architecture,
          "'" + expected + "', the architecture of config.json");
      refuse();
    }
    GgufHyperparameters.integers(config).forEach(this::integer);
    GgufHyperparameters.numbers(config).forEach(this::number);
    baseFrequency();
    scaling();
    contextLength();
    refuse();
  }

  /** Absent, llama.cpp takes the same default as transformers. */
  private void baseFrequency() {
    String key = GgufHyperparameters.ropeFreqBase(config);
    float seen = metadata.getFloat(key, 10_000f);
    if (seen != (float) config.ropeTheta()) {
      problem(key, Float.toString(seen), (float) config.ropeTheta() + " by config.json");
    }
  }

  private void scaling() {
    // llama.cpp's words for what its own loader applies; Llama 3's scaling is the tensor below.
    String key = GgufHyperparameters.ropeScalingTypeKey(config);
    String type = GgufRope.type(new GgufFields(file));
    String expected = GgufHyperparameters.ropeScalingType(config);
    if (!type.equals(expected)) {
      problem(key, type, "'" + expected + "'");
    } else {
      GgufHyperparameters.ropeScalingNumbers(config).forEach(this::number);
      GgufHyperparameters.ropeScalingIntegers(config).forEach(this::integer);
    }
    if (file.names().contains(ROPE_FREQS)) {
      divisors(ROPE_FREQS, RotaryFrequencies.divisors(config));
    }
    GgufHyperparameters.ropeTensors(config)
        .forEach(
            (name, values) -> {
              if (!file.names().contains(name)) {
                notices.accept(
                    "has no tensor '"
                        + name
                        + "'; the rope scaling of config.json, "
                        + config.ropeScaling().ropeType()
                        + ", is used");
              } else if (!name.equals(ROPE_FREQS)) {
                divisors(name, values);
              }
            });
  }

  /** The converter computes with other roundings. */
  private void divisors(String tensor, float[] expected) {
    if (!file.tensor(tensor).shape().equals(List.of((long) expected.length))) {
      problems.add(
          "tensor '%s' has shape %s, expected [%d], half of the rotated elements of a head"
              .formatted(tensor, file.tensor(tensor).shape(), expected.length));
      return;
    }
    float[] divisors = new float[expected.length];
    file.dequantize(tensor, 0, divisors.length, divisors, 0);
    for (int j = 0; j < divisors.length; j++) {
      if (!(Math.abs(divisors[j] - expected[j]) <= 1e-4f * expected[j])) {
        problems.add(
            "tensor '%s' holds %s at %d, expected %s by the rope scaling of config.json"
                .formatted(tensor, divisors[j], j, expected[j]));
        return;
      }
    }
  }

  /** A shorter or longer context changes no value that is computed. */
  private void contextLength() {
    String key = GgufHyperparameters.contextLength(config);
    if (metadata.contains(key) && metadata.getLong(key) != config.maxPositionEmbeddings()) {
      notices.accept(
          "'%s' is %d, but 'max_position_embeddings' of config.json is %d, which is used"
              .formatted(key, metadata.getLong(key), config.maxPositionEmbeddings()));
    }
  }

  private void integer(String key, int expected) {
    if (metadata.contains(key) && metadata.getLong(key) != expected) {
      problem(key, Long.toString(metadata.getLong(key)), expected + " by config.json");
    }
  }

  /** Both sides are one decimal number, there rounded to float32. */
  private void number(String key, double expected) {
    if (metadata.contains(key) && metadata.getFloat(key) != (float) expected) {
      problem(key, Float.toString(metadata.getFloat(key)), (float) expected + " by config.json");
    }
  }

  private void problem(String key, String seen, String expected) {
    problems.add(
        "'%s' is '%s', expected %s; use the config.json that belongs to this file"
            .formatted(key, seen.replaceAll("\\p{Cntrl}", "?"), expected));
  }

  private void refuse() {
    if (!problems.isEmpty()) {
      throw new InvalidInputException(problems.stream().map(p -> file.path() + ": " + p).toList());
    }
  }
}
