package ai.nibble.model;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.Set;
import java.util.function.Predicate;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;

/**
 * Typed access to one JSON object of a {@code config.json}; a field of the wrong type is noted as a
 * problem and read as its default, so that one pass finds all of them.
 *
 * <p>Types are taken as strictly as transformers 5 takes them (an integer field refuses {@code
 * 64.0} and {@code "64"}), except that a float field accepts an integer.
 */
final class ConfigFields {
  private static final int LONGEST_VALUE_SHOWN = 60;

  private final ObjectNode object;
  private final String prefix;
  private final List<String> problems;
  private final Set<String> read = new LinkedHashSet<>();

  /**
   * @param prefix path of the object with its dot, empty for the file's own object
   * @param problems where problems go
   */
  ConfigFields(ObjectNode object, String prefix, List<String> problems) {
    this.object = object;
    this.prefix = prefix;
    this.problems = problems;
  }

  /** Whether the key is there, be it null. */
  boolean has(String key) {
    return object.has(key);
  }

  /** Whether the key is there and not null. */
  boolean hasValue(String key) {
    read.add(key);
    return object.hasNonNull(key);
  }

  int integer(String key, int defaultValue) {
    Optional<JsonNode> node = present(key);
    if (node.isEmpty()) {
      return defaultValue;
    }
    if (!isInt(node.get())) {
      wrong(key, "an integer");
      return defaultValue;
    }
    return node.get().intValue();
  }

  /** An integer; absent and null mean none. */
  OptionalInt integerOrNull(String key) {
    if (!hasValue(key)) {
      return OptionalInt.empty();
    }
    if (!isInt(object.get(key))) {
      wrong(key, "an integer or null");
      return OptionalInt.empty();
    }
    return OptionalInt.of(object.get(key).intValue());
  }

  double number(String key, double defaultValue) {
    Optional<JsonNode> node = present(key);
    if (node.isEmpty()) {
      return defaultValue;
    }
    if (!node.get().isNumber()) {
      wrong(key, "a number");
      return defaultValue;
    }
    return node.get().doubleValue();
  }

  boolean flag(String key, boolean defaultValue) {
    Optional<JsonNode> node = present(key);
    if (node.isEmpty()) {
      return defaultValue;
    }
    if (!node.get().isBoolean()) {
      wrong(key, "true or false");
      return defaultValue;
    }
    return node.get().booleanValue();
  }

  String string(String key, String defaultValue) {
    Optional<JsonNode> node = present(key);
    if (node.isEmpty()) {
      return defaultValue;
    }
    if (!node.get().isTextual()) {
      wrong(key, "a string");
      return defaultValue;
    }
    return node.get().textValue();
  }

  /** The strings of a list; empty where the key is absent or null. */
  List<String> strings(String key) {
    if (!hasValue(key)) {
      return List.of();
    }
    JsonNode node = object.get(key);
    if (!node.isArray() || !all(node, JsonNode::isTextual)) {
      wrong(key, "a list of strings");
      return List.of();
    }
    return elements(node).map(JsonNode::textValue).toList();
  }

  /** The integers of a list; empty where the key is absent or null, or is something else. */
  Optional<List<Integer>> integers(String key) {
    if (!hasValue(key)) {
      return Optional.empty();
    }
    JsonNode node = object.get(key);
    if (!node.isArray() || !all(node, ConfigFields::isInt)) {
      wrong(key, "a list of integers");
      return Optional.empty();
    }
    return Optional.of(elements(node).map(JsonNode::intValue).toList());
  }

  /** The numbers of a list; a list of none where the key is something else. */
  List<Double> numbers(String key) {
    read.add(key);
    JsonNode node = object.get(key);
    if (node == null || !node.isArray() || !all(node, JsonNode::isNumber)) {
      wrong(key, "a list of numbers");
      return List.of();
    }
    return elements(node).map(JsonNode::doubleValue).toList();
  }

  /** An integer or a list of integers; null means none, absent means the default. */
  List<Integer> tokenIds(String key, List<Integer> defaultValue) {
    read.add(key);
    if (!has(key)) {
      return defaultValue;
    }
    if (!hasValue(key)) {
      return List.of();
    }
    JsonNode node = object.get(key);
    if (isInt(node)) {
      return List.of(node.intValue());
    }
    if (!node.isArray() || !all(node, ConfigFields::isInt)) {
      wrong(key, "an integer, a list of integers or null");
      return defaultValue;
    }
    return elements(node).map(JsonNode::intValue).toList();
  }

  /** A nested object; empty where the key is absent or null. */
  Optional<ConfigFields> object(String key) {
    if (!hasValue(key)) {
      return Optional.empty();
    }
    if (object.get(key) instanceof ObjectNode nested) {
      return Optional.of(new ConfigFields(nested, prefix + key + ".", problems));
    }
    wrong(key, "an object or null");
    return Optional.empty();
  }

  /** A nested object as it stands; empty where the key is absent, null or something else. */
  Optional<ObjectNode> node(String key) {
    read.add(key);
    return object.get(key) instanceof ObjectNode nested ? Optional.of(nested) : Optional.empty();
  }

  /** A nested object without fields, for one that is absent. */
  ConfigFields none(String key) {
    ObjectNode nothing = JsonNodeFactory.instance.objectNode();
    return new ConfigFields(nothing, prefix + key + ".", problems);
  }

  boolean isEmpty() {
    return object.isEmpty();
  }

  /** Notes that the key's value is not what was expected. */
  void wrong(String key, String expected) {
    problems.add(quoted(key) + " is " + shown(key) + ", expected " + expected);
  }

  /** Path of this object with its dot, empty for the file's own. */
  String prefix() {
    return prefix;
  }

  /** The key with its path, in quotes. */
  String quoted(String key) {
    return "'" + prefix + key + "'";
  }

  /** The value as JSON, cut short if long; {@code missing} where absent. */
  String shown(String key) {
    JsonNode node = object.get(key);
    if (node == null) {
      return "missing";
    }
    // Containers are described, not printed: a hostile one may hold megabytes.
    if (node.isContainerNode() && node.size() > 8) {
      return (node.isArray() ? "a list of " : "an object of ") + node.size();
    }
    String text = node.toString();
    return text.length() <= LONGEST_VALUE_SHOWN
        ? text
        : text.substring(0, LONGEST_VALUE_SHOWN) + "…";
  }

  /** Keys nobody asked for that have a value, sorted. */
  List<String> unread(Set<String> known) {
    Set<String> names = new LinkedHashSet<>();
    object.fieldNames().forEachRemaining(names::add);
    names.removeAll(read);
    names.removeAll(known);
    names.removeIf(name -> object.get(name).isNull()); // says nothing
    return names.stream().sorted().map(ConfigFields::cut).toList();
  }

  private static String cut(String name) {
    String line = name.replaceAll("\\p{Cntrl}", "?");
    return line.length() <= LONGEST_VALUE_SHOWN
        ? line
        : line.substring(0, LONGEST_VALUE_SHOWN) + "…";
  }

  /** The value of a key that is there; null is a value, and of the wrong type for most. */
  private Optional<JsonNode> present(String key) {
    read.add(key);
    return Optional.ofNullable(object.get(key));
  }

  private static boolean isInt(JsonNode node) {
    return node.isIntegralNumber() && node.canConvertToInt();
  }

  private static boolean all(JsonNode list, Predicate<JsonNode> test) {
    return elements(list).allMatch(test);
  }

  private static Stream<JsonNode> elements(JsonNode list) {
    return StreamSupport.stream(list.spliterator(), false);
  }
}
