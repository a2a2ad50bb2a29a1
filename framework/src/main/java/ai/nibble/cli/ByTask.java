package ai.nibble.cli;

import ai.nibble.InvalidInputException;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** Values of an option that is given for all tasks, {@code N}, or for one, {@code TASK=N}. */
record ByTask(Map<String, String> values) {
  private static final String ALL = "";

  /**
   * @param option for messages
   * @param tasks the names that may stand before {@code =}
   */
  static ByTask parse(String option, List<String> given, Set<String> tasks) {
    Map<String, String> values = new HashMap<>();
    for (String text : given) {
      int equals = text.indexOf('=');
      String task = equals < 0 ? ALL : text.substring(0, equals);
      if (equals >= 0 && !tasks.contains(task)) {
        throw new InvalidInputException(
            "%s %s is for '%s', expected one of the tasks given: %s"
                .formatted(option, text, task, tasks));
      }
      if (values.put(task, text.substring(equals + 1)) != null) {
        throw new InvalidInputException(
            "%s is given twice%s".formatted(option, task.isEmpty() ? "" : " for " + task));
      }
    }
    return new ByTask(values);
  }

  /** The task's own value, else that for all, else the default. */
  String of(String task, String byDefault) {
    return values.getOrDefault(task, values.getOrDefault(ALL, byDefault));
  }

  /** A whole number of at least {@code least}. */
  int number(String option, String task, int least, int byDefault) {
    String value = of(task, "");
    if (value.isEmpty()) {
      return byDefault;
    }
    if (!value.matches("\\d{1,9}") || Integer.parseInt(value) < least) {
      throw new InvalidInputException(
          "%s is '%s', expected a whole number, at least %d".formatted(option, value, least));
    }
    return Integer.parseInt(value);
  }
}
