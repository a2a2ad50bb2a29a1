package ai.nibble.eval;

import ai.nibble.FileProblem;
import ai.nibble.InvalidInputException;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.channels.SeekableByteChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeSet;

/**
 * Results item by item, in a file that a run which was ended goes on with.
 *
 * <p>One JSON object a line, in UTF-8. Every line has {@code task}, {@code model} and {@code
 * variant}, which name a measurement, and one of:
 *
 * <ul>
 *   <li>{@code settings}, an object of strings: all that the measurement's results depend on. It
 *       stands before its items;
 *   <li>{@code item}, the item's number from 0, and {@code result}, an object that the kind of task
 *       decides; items stand in order, and the last of those that were computed together has {@code
 *       "last": true};
 *   <li>{@code cost}, an object: see {@link Cost}. The last one counts.
 * </ul>
 *
 * Items without their last one, and a line that does not end, as a killed run may leave them, are
 * taken off: the run that goes on computes the same items together, and so the same results, bit
 * for bit.
 */
public final class ResultsFile {
  private static final JsonMapper JSON =
      JsonMapper.builder()
          .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
          .enable(DeserializationFeature.FAIL_ON_MISSING_CREATOR_PROPERTIES)
          .enable(DeserializationFeature.FAIL_ON_NULL_FOR_PRIMITIVES)
          .enable(DeserializationFeature.USE_BIG_DECIMAL_FOR_FLOATS)
          .build();

  private final Optional<Path> file;
  private final Map<Key, Measurement> measurements = new LinkedHashMap<>();

  /** What a measurement is called. */
  public record Key(String task, String model, String variant) {
    private String words() {
      return task + " of " + model + ", " + variant;
    }
  }

  private static final class Measurement {
    private final List<JsonNode> results = new ArrayList<>();
    private final List<String> places = new ArrayList<>();
    private Map<String, String> settings;
    private String place;
    private Cost cost;
    private int pending; // results at the end whose batch is not complete

    private void add(JsonNode result, String where) {
      results.add(result);
      places.add(where);
    }

    private void forgetPending() {
      int kept = results.size() - pending;
      results.subList(kept, results.size()).clear();
      places.subList(kept, places.size()).clear();
      pending = 0;
    }
  }

  private ResultsFile(Optional<Path> file) {
    this.file = file;
  }

  /** Results that are kept in memory alone. */
  public static ResultsFile inMemory() {
    return new ResultsFile(Optional.empty());
  }

  /**
   * Reads the results of earlier runs; new ones go to the same file.
   *
   * @param file made when there is a first result
   * @throws InvalidInputException naming file and line of what is no such result
   */
  public static ResultsFile open(Path file) {
    ResultsFile results = new ResultsFile(Optional.of(file));
    if (Files.exists(file)) {
      try {
        results.read(file);
      } catch (IOException e) {
        throw new InvalidInputException(file + ": cannot be read: " + FileProblem.reason(e), e);
      }
    }
    return results;
  }

  private void read(Path path) throws IOException {
    byte[] bytes = Files.readAllBytes(path);
    int number = 0;
    int whole = 0; // bytes of what is complete
    int begin = 0;
    for (int end = 0; end < bytes.length; end++) {
      if (bytes[end] == '\n') {
        number++;
        String line = new String(bytes, begin, end - begin, StandardCharsets.UTF_8);
        begin = end + 1;
        whole = accept(line, path + ":" + number) ? begin : whole;
      }
    }
    if (whole == bytes.length) {
      return;
    }
    if (number == 0) { // not known to be results at all
      throw new InvalidInputException(path + ":1: not a line of results: give another file");
    }
    measurements.values().forEach(Measurement::forgetPending);
    try (SeekableByteChannel channel = Files.newByteChannel(path, StandardOpenOption.WRITE)) {
      channel.truncate(whole);
    }
  }

  /** Takes a line in; returns whether what it belongs to is complete. */
  private boolean accept(String line, String where) {
    try {
      JsonNode json = JSON.readTree(line);
      Key key = new Key(text(json, "task"), text(json, "model"), text(json, "variant"));
      Measurement of = measurement(key);
      if (json.path("settings").isObject()) {
        of.settings = new LinkedHashMap<>();
        json.get("settings")
            .properties()
            .forEach(e -> of.settings.put(e.getKey(), e.getValue().asText()));
        of.place = where;
        return true;
      }
      if (json.has("cost")) {
        of.cost = JSON.treeToValue(json.get("cost"), Cost.class);
        return true;
      }
      boolean isNext =
          of.settings != null
              && json.path("item").asInt(-1) == of.results.size()
              && json.path("result").isObject();
      if (!isNext) {
        throw new InvalidInputException(
            where
                + ": expected settings, a cost, or the result of item "
                + of.results.size()
                + " behind its settings: give another file");
      }
      of.add(json.get("result"), where);
      of.pending = json.path("last").asBoolean() ? 0 : of.pending + 1;
      return of.pending == 0;
    } catch (JsonProcessingException | IllegalArgumentException e) {
      throw new InvalidInputException(where + ": not a line of results: give another file", e);
    }
  }

  private static String text(JsonNode json, String name) throws JsonProcessingException {
    return JSON.treeToValue(json.required(name), String.class);
  }

  private Measurement measurement(Key key) {
    return measurements.computeIfAbsent(key, k -> new Measurement());
  }

  /**
   * Begins or goes on with a measurement.
   *
   * @return the results that are there, of items 0, 1, …
   * @throws InvalidInputException if those that are there were made under other settings, with each
   *     difference
   */
  public <R> List<R> begin(Key key, Map<String, String> settings, Class<R> type) {
    Measurement of = measurement(key);
    if (of.settings == null) {
      of.settings = new LinkedHashMap<>(settings);
      ObjectNode line = line(key);
      line.set("settings", JSON.valueToTree(settings));
      append(List.of(line));
    }
    requireSame(key, of, settings);
    List<R> results = new ArrayList<>();
    for (int i = 0; i < of.results.size(); i++) {
      try {
        results.add(JSON.treeToValue(of.results.get(i), type));
      } catch (JsonProcessingException | IllegalArgumentException e) {
        throw new InvalidInputException(
            of.places.get(i) + ": not a result of " + key.task() + ": give another file", e);
      }
    }
    return results;
  }

  private void requireSame(Key key, Measurement of, Map<String, String> settings) {
    TreeSet<String> names = new TreeSet<>(of.settings.keySet());
    names.addAll(settings.keySet());
    List<String> problems = new ArrayList<>();
    for (String name : names) {
      String before = of.settings.getOrDefault(name, "none");
      String now = settings.getOrDefault(name, "none");
      if (!before.equals(now)) {
        problems.add(
            of.place
                + ": "
                + key.words()
                + ": '"
                + name
                + "' was '"
                + before
                + "' and is now '"
                + now
                + "': give it as it was, or another --results file");
      }
    }
    if (!problems.isEmpty()) {
      throw new InvalidInputException(problems);
    }
  }

  /** Adds the results of items that were computed together, which are in the file then. */
  public void add(Key key, List<?> batch) {
    Measurement of = measurement(key);
    List<ObjectNode> lines = new ArrayList<>();
    for (int i = 0; i < batch.size(); i++) {
      ObjectNode line = line(key).put("item", of.results.size());
      line.set("result", JSON.valueToTree(batch.get(i)));
      if (i == batch.size() - 1) {
        line.put("last", true);
      }
      lines.add(line);
      of.add(line.get("result"), file.map(Path::toString).orElse("this run"));
    }
    append(lines);
  }

  /** What a model was measured to take; empty where it was not. */
  public Optional<Cost> cost(Key key) {
    return Optional.ofNullable(measurements.get(key)).map(of -> of.cost);
  }

  /** Puts a model's cost, in place of an earlier one. */
  public void putCost(Key key, Cost cost) {
    measurement(key).cost = cost;
    ObjectNode line = line(key);
    line.set("cost", JSON.valueToTree(cost));
    append(List.of(line));
  }

  private static ObjectNode line(Key key) {
    return JSON.createObjectNode()
        .put("task", key.task)
        .put("model", key.model)
        .put("variant", key.variant);
  }

  private void append(List<ObjectNode> lines) {
    if (file.isEmpty()) {
      return;
    }
    try {
      StringBuilder text = new StringBuilder();
      for (ObjectNode line : lines) {
        text.append(JSON.writeValueAsString(line)).append('\n');
      }
      Files.writeString(file.get(), text, StandardOpenOption.CREATE, StandardOpenOption.APPEND);
    } catch (IOException e) {
      throw new UncheckedIOException(
          file.get() + ": cannot be written: " + FileProblem.reason(e), e);
    }
  }
}
