package ai.nibble.report;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import java.io.BufferedReader;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.EnumMap;
import java.util.Map;
import java.util.OptionalInt;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/** The numbers of {@code metrics.jsonl}, by what they measure. */
final class Metrics {
  static final String FILE = "metrics.jsonl";

  private static final JsonMapper JSON = JsonMapper.builder().build();

  /** What is measured, with its key. */
  enum Field {
    LOSS("loss"),
    LEARNING_RATE("learning_rate"),
    GRAD_NORM("grad_norm"),
    TOKENS_PER_SECOND("tokens_per_second"),
    MEMORY("memory"),
    TOKENS("tokens"),
    EPOCH("epoch"),
    EVAL_LOSS("eval_loss"),
    EXACT_MATCH("exact_match"),
    REWARD_CHOSEN("rewards/chosen"),
    REWARD_REJECTED("rewards/rejected"),
    REWARD_MARGIN("rewards/margins"),
    REWARD_ACCURACY("rewards/accuracies"),
    EVAL_REWARD_MARGIN("eval_rewards/margins"),
    EVAL_REWARD_ACCURACY("eval_rewards/accuracies");

    private final String key;

    Field(String key) {
      this.key = key;
    }
  }

  private final Map<Field, Series> series = new EnumMap<>(Field.class);

  /** Values by step, in the order of the file; a value may be not a number. */
  static final class Series {
    private int[] steps = new int[64];
    private double[] values = new double[64];
    private int size;

    private void add(int step, double value) {
      if (size == steps.length) {
        steps = Arrays.copyOf(steps, 2 * size);
        values = Arrays.copyOf(values, 2 * size);
      }
      steps[size] = step;
      values[size++] = value;
    }

    int size() {
      return size;
    }

    int step(int i) {
      return steps[i];
    }

    double value(int i) {
      return values[i];
    }

    /** Where the last value of a step is; empty where it has none. */
    OptionalInt indexOf(int step) {
      return IntStream.range(0, size).filter(i -> steps[i] == step).reduce((a, b) -> b);
    }

    double first() {
      return size == 0 ? Double.NaN : values[0];
    }

    double last() {
      return size == 0 ? Double.NaN : values[size - 1];
    }

    /** The values that are finite, ascending. */
    double[] sorted() {
      return Arrays.stream(values, 0, size).filter(Double::isFinite).sorted().toArray();
    }

    /** Of the finite ones; not a number where there is none. */
    double median() {
      double[] sorted = sorted();
      return sorted.length == 0 ? Double.NaN : sorted[sorted.length / 2];
    }
  }

  /**
   * Reads the file; lines that are no metrics, such as a last one that a crash tore, are left out.
   */
  static Metrics read(Path file) throws IOException {
    Metrics metrics = new Metrics();
    if (!Files.isRegularFile(file)) {
      return metrics;
    }
    try (BufferedReader lines = Files.newBufferedReader(file, StandardCharsets.UTF_8)) {
      for (String line = lines.readLine(); line != null; line = lines.readLine()) {
        metrics.add(line);
      }
    }
    return metrics;
  }

  private void add(String line) {
    JsonNode json;
    try {
      json = JSON.readTree(line);
    } catch (JsonProcessingException e) {
      return;
    }
    if (!json.path("step").isInt()) {
      return;
    }
    // of an evaluation, the epoch is that of its step
    boolean isStep = json.has(Field.LOSS.key);
    for (Field field : Field.values()) {
      JsonNode value = json.get(field.key);
      if (value != null && (isStep || field != Field.EPOCH)) {
        of(field).add(json.get("step").intValue(), number(value));
      }
    }
  }

  /** JSON has no numbers for what is not finite: {@code "NaN"}, {@code "Infinity"}. */
  private static double number(JsonNode value) {
    if (value.isNumber()) {
      return value.doubleValue();
    }
    boolean known = Stream.of("NaN", "Infinity", "-Infinity").anyMatch(value.asText()::equals);
    return known ? Double.parseDouble(value.asText()) : Double.NaN;
  }

  Series of(Field field) {
    return series.computeIfAbsent(field, key -> new Series());
  }

  /** The last step that is told of; 0 if there is none. */
  int lastStep() {
    Series loss = of(Field.LOSS);
    return loss.size() == 0 ? 0 : loss.step(loss.size() - 1);
  }
}
