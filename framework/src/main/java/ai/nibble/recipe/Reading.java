package ai.nibble.recipe;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * One pass over a recipe: the key being read, and what the pass gathers.
 *
 * @param key the full name, for example {@code datasets.0.path}
 * @param positions where each key read so far has its value
 */
record Reading(
    String key, Problems problems, List<String> notices, Map<String, Position> positions) {

  static Reading begin(Problems problems) {
    return new Reading("", problems, new ArrayList<>(), new LinkedHashMap<>());
  }

  Reading child(String name) {
    String full = key.isEmpty() ? name : key + "." + name;
    return new Reading(full, problems, notices, positions);
  }

  /** Reports the value; {@code expected} may go on with a remedy. */
  void reject(Node node, String expected) {
    problems.add(node.at(), "'" + shownKey() + "' is " + node.seen() + ", expected " + expected);
  }

  void notice(Position at, String what) {
    notices.add(at + ": " + what);
  }

  String shownKey() {
    return Problems.shown(key);
  }
}
