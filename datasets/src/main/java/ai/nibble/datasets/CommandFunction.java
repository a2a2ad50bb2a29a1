package ai.nibble.datasets;

import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.Arrays;
import java.util.List;
import java.util.Map;

/**
 * A function that a request may call, with its arguments in the order of the answer.
 *
 * @param name of the function
 * @param arguments all that it knows; an answer has those that the request gives
 */
record CommandFunction(String name, List<Argument> arguments) {
  /** How an argument's value is written in JSON. */
  enum Type {
    STRING,
    INTEGER,
    BOOLEAN
  }

  /** An argument. */
  record Argument(String name, Type type) {}

  /** The functions of the shipped data set. */
  static List<CommandFunction> all() {
    return List.of(
        function("setAlarm", "time", "day", "label"),
        function("setTimer", "minutes#", "label"),
        function("addReminder", "task", "day", "time"),
        function("setLamp", "room", "state", "brightness#", "color"),
        function("setThermostat", "degrees#", "room"),
        function("setLock", "door", "state"),
        function("addToList", "item", "quantity#", "store"),
        function("orderProduct", "product", "quantity#", "recipient"),
        function("bookTrain", "from", "to", "day", "time"),
        function("bookHotel", "city", "nights#", "guests#", "name"),
        function("bookTaxi", "from", "to", "time", "name"),
        function("getWeather", "city", "day"),
        function("playSong", "title", "artist"),
        function("playPlaylist", "playlist", "shuffle?"),
        function("setVolume", "level#", "room"));
  }

  /** {@code #} behind a name is an integer, {@code ?} a boolean. */
  private static CommandFunction function(String name, String... arguments) {
    return new CommandFunction(
        name, Arrays.stream(arguments).map(CommandFunction::argument).toList());
  }

  private static Argument argument(String name) {
    Type type = name.endsWith("#") ? Type.INTEGER : name.endsWith("?") ? Type.BOOLEAN : Type.STRING;
    return new Argument(name.replaceAll("[#?]$", ""), type);
  }

  /**
   * The answer to a request.
   *
   * @param values by argument
   * @return {@code {"name":…,"arguments":{…}}}, compact, arguments in this function's order
   * @throws IllegalArgumentException where a value belongs to no argument
   */
  String call(Map<String, Value> values) {
    ObjectNode given = JsonNodeFactory.instance.objectNode();
    for (Argument argument : arguments) {
      Value value = values.get(argument.name());
      if (value != null) {
        put(given, argument, value.plain());
      }
    }
    if (given.size() != values.size()) {
      throw new IllegalArgumentException(name + " takes " + arguments + ", got " + values.keySet());
    }
    ObjectNode call = JsonNodeFactory.instance.objectNode();
    call.put("name", name).set("arguments", given);
    return call.toString();
  }

  private static void put(ObjectNode given, Argument argument, String value) {
    switch (argument.type()) {
      case STRING -> given.put(argument.name(), value);
      case INTEGER -> given.put(argument.name(), Integer.parseInt(value));
      case BOOLEAN -> given.put(argument.name(), Boolean.parseBoolean(value));
    }
  }
}
