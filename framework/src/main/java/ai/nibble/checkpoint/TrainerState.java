package ai.nibble.checkpoint;

import ai.nibble.InvalidInputException;
import ai.nibble.JsonProblem;
import ai.nibble.data.RowOrder;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/**
 * Where a run is, between two optimizer steps. What is random depends on the seed and these numbers
 * only, so there is no generator to save.
 *
 * @param runId of the run that wrote it; one that goes on keeps it
 * @param step optimizer steps done, at least 1
 * @param epoch of the next row, from 0
 * @param position units (rows, or packs of rows) of that epoch that were drawn
 * @param order what the units are and how they are ordered, as {@link RowOrder} calls it
 * @param tokensSeen by all steps together
 * @param identity what must be the same in a run that goes on from here, by name: settings of the
 *     recipe, fingerprints of the base and of the rows
 * @param parts what parts of the trainer remember, by the part's name; a part that a run does not
 *     have is left alone
 */
public record TrainerState(
    String runId,
    int step,
    long epoch,
    int position,
    String order,
    long tokensSeen,
    Map<String, String> identity,
    Map<String, PartState> parts) {
  static final String NAME = "trainer_state.json";

  /** 2 has {@code parts}. */
  private static final int VERSION = 2;

  private static final JsonMapper JSON = JsonMapper.builder().build();

  public TrainerState {
    identity = Map.copyOf(identity);
    parts = Map.copyOf(parts);
    if (step < 1 || epoch < 0 || position < 0 || tokensSeen < 0) {
      throw new IllegalArgumentException(
          "step " + step + ", epoch " + epoch + ", position " + position);
    }
  }

  byte[] json() throws IOException {
    ObjectNode json = JSON.createObjectNode();
    json.put("version", VERSION);
    json.put("run_id", runId);
    json.put("step", step);
    json.put("epoch", epoch);
    json.put("position", position);
    json.put("order", order);
    json.put("tokens_seen", tokensSeen);
    ObjectNode names = json.putObject("identity");
    new TreeMap<>(identity).forEach(names::put);
    ObjectNode all = json.putObject("parts");
    new TreeMap<>(parts).forEach((name, part) -> all.putPOJO(name, part.numbers()));
    return JSON.writerWithDefaultPrettyPrinter().writeValueAsBytes(json);
  }

  /**
   * @throws InvalidInputException if the file is not one of this version's
   */
  public static TrainerState read(Path directory) throws IOException {
    Path file = directory.resolve(NAME);
    try {
      JsonNode json = JSON.readTree(Files.readAllBytes(file));
      JsonNode version = json.path("version");
      if (version.asInt() != VERSION) {
        throw new InvalidInputException(
            file
                + ": 'version' is "
                + version
                + ", expected "
                + VERSION
                + ": resume with the"
                + " version of Nibble that wrote it");
      }
      Map<String, String> identity = new LinkedHashMap<>();
      json.path("identity")
          .properties()
          .forEach(field -> identity.put(field.getKey(), field.getValue().asText()));
      return new TrainerState(
          json.path("run_id").asText(),
          number(file, json, "step").intValue(),
          number(file, json, "epoch").longValue(),
          number(file, json, "position").intValue(),
          json.path("order").asText(RowOrder.SHUFFLED.toString()),
          number(file, json, "tokens_seen").longValue(),
          identity,
          parts(file, json.path("parts")));
    } catch (JsonProcessingException e) {
      throw new InvalidInputException(
          file + ": not a trainer's state: " + JsonProblem.reason(e), e);
    } catch (IllegalArgumentException e) {
      throw new InvalidInputException(file + ": not a trainer's state: " + e.getMessage(), e);
    }
  }

  private static Map<String, PartState> parts(Path file, JsonNode json) {
    Map<String, PartState> parts = new LinkedHashMap<>();
    for (Map.Entry<String, JsonNode> part : json.properties()) {
      Map<String, List<Double>> numbers = new LinkedHashMap<>();
      for (Map.Entry<String, JsonNode> each : part.getValue().properties()) {
        numbers.put(each.getKey(), numbers(file, part.getKey() + "." + each.getKey(), each));
      }
      parts.put(part.getKey(), new PartState(numbers));
    }
    return parts;
  }

  private static List<Double> numbers(Path file, String name, Map.Entry<String, JsonNode> each) {
    List<Double> numbers = new ArrayList<>();
    for (JsonNode value : each.getValue()) {
      if (!value.isNumber()) {
        throw new InvalidInputException(
            file + ": 'parts." + name + "' holds " + value + ", expected numbers");
      }
      numbers.add(value.doubleValue());
    }
    return numbers;
  }

  private static JsonNode number(Path file, JsonNode json, String name) {
    JsonNode value = json.path(name);
    if (!value.isIntegralNumber()) {
      throw new InvalidInputException(
          file + ": '" + name + "' is " + value + ", expected a whole number");
    }
    return value;
  }
}
