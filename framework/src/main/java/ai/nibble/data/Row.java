package ai.nibble.data;

import ai.nibble.InvalidInputException;
import com.fasterxml.jackson.core.JsonProcessingException;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * One row of a data file, whose columns are asked for by the names a row format knows.
 *
 * @param columns JSON values as maps, lists, strings, numbers, booleans and nulls
 * @param where file and place, for messages
 * @param number of the row, from 1
 * @param renames the file's name of a column by the format's
 */
public record Row(
    Map<String, Object> columns, String where, long number, Map<String, String> renames) {

  /** The name that the file gives to a format's column. */
  public String name(String column) {
    return renames.getOrDefault(column, column);
  }

  /** Whether the column is there and not null. */
  public boolean has(String column) {
    return columns.get(name(column)) != null;
  }

  /** The column's value, null where it is absent or null. */
  public Object value(String column) {
    return columns.get(name(column));
  }

  /**
   * A string.
   *
   * @throws InvalidInputException where the column is absent, null or something else
   */
  public String text(String column) {
    if (!columns.containsKey(name(column))) {
      throw missing(column);
    }
    if (value(column) instanceof String text) {
      return text;
    }
    throw wrong(column, value(column), "a string");
  }

  private InvalidInputException missing(String column) {
    return new InvalidInputException(
        where
            + ": column '"
            + name(column)
            + "' is missing, the row has "
            + columns.keySet()
            + "; name the right one under columns: {"
            + column
            + ": …}");
  }

  /** A string, or nothing where the column is absent or null. */
  public Optional<String> optionalText(String column) {
    return has(column) ? Optional.of(text(column)) : Optional.empty();
  }

  /**
   * A list of objects, or JSON text of one.
   *
   * @throws InvalidInputException where the column is absent, or anything else is in it
   */
  public List<Map<String, Object>> objects(String column) {
    if (!columns.containsKey(name(column))) {
      throw missing(column);
    }
    Object value = value(column);
    // files without nested values keep a list as JSON text
    if (value instanceof String text && text.stripLeading().startsWith("[")) {
      value = json(column, text);
    }
    if (!(value instanceof List<?> list)) {
      throw wrong(column, value, "a list of objects");
    }
    List<Map<String, Object>> objects = new ArrayList<>(list.size());
    for (int i = 0; i < list.size(); i++) {
      objects.add(object(column, i, list.get(i)));
    }
    return objects;
  }

  private Map<String, Object> object(String column, int index, Object value) {
    if (!(value instanceof Map<?, ?> map)) {
      throw wrong(column + "[" + index + "]", value, "an object");
    }
    Map<String, Object> object = new LinkedHashMap<>();
    map.forEach((key, each) -> object.put((String) key, each));
    return object;
  }

  /**
   * The {@code tools} column: a list of function descriptions, or JSON text of one; may be absent.
   */
  public List<Map<String, Object>> tools() {
    Object value = value("tools");
    if (value instanceof String text) {
      if (text.isBlank()) {
        return List.of();
      }
      value = json("tools", text);
    }
    if (value == null) {
      return List.of();
    }
    Map<String, Object> parsed = new LinkedHashMap<>(columns);
    parsed.put(name("tools"), value);
    List<Map<String, Object>> tools = new ArrayList<>();
    for (Map<String, Object> tool : new Row(parsed, where, number, renames).objects("tools")) {
      // Templates expect the form of the usual chat interfaces; bare functions get it here.
      tools.add(tool.containsKey("function") ? tool : Map.of("type", "function", "function", tool));
    }
    return tools;
  }

  /** The value that JSON text in a column holds. */
  public Object json(String column, String text) {
    try {
      return JsonFiles.mapper().readValue(text, Object.class);
    } catch (JsonProcessingException e) {
      throw new InvalidInputException(
          where + ": column '" + shownName(column) + "'" + JsonFiles.problem(e), e);
    }
  }

  /** The file's name of a place such as {@code messages[2].content}. */
  private String shownName(String place) {
    int bracket = place.indexOf('[');
    return bracket < 0 ? name(place) : name(place.substring(0, bracket)) + place.substring(bracket);
  }

  /** The error for a value that is not what it should be. */
  public InvalidInputException wrong(String column, Object seen, String expected) {
    return new InvalidInputException(
        where
            + ": column '"
            + shownName(column)
            + "' is "
            + describe(seen)
            + ", expected "
            + expected);
  }

  /** A value in a message, cut where it is long. */
  static String describe(Object value) {
    if (value == null) {
      return "null";
    }
    if (value instanceof byte[] bytes) {
      return bytes.length + " bytes that are no text";
    }
    String text = value instanceof String ? "'" + value + "'" : value.toString();
    String shown = text.length() > 60 ? text.substring(0, 60) + "…" : text;
    return shown.replaceAll("\\p{Cntrl}", " "); // a message is one line
  }
}
