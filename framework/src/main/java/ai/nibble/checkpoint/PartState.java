package ai.nibble.checkpoint;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * What a part of the trainer remembers between two steps, as lists of numbers by name. They are
 * saved as decimal fractions that read back to the same bits.
 *
 * @param numbers finite, by name
 */
public record PartState(Map<String, List<Double>> numbers) {
  /** What a part has that remembers nothing yet. */
  public static final PartState EMPTY = new PartState(Map.of());

  /**
   * @throws IllegalArgumentException for a number that is not finite, which JSON does not have
   */
  public PartState {
    Map<String, List<Double>> copy = new LinkedHashMap<>();
    numbers.forEach((name, values) -> copy.put(name, List.copyOf(values)));
    for (Map.Entry<String, List<Double>> each : copy.entrySet()) {
      if (!each.getValue().stream().allMatch(Double::isFinite)) {
        throw new IllegalArgumentException(each.getKey() + " is " + each.getValue());
      }
    }
    numbers = java.util.Collections.unmodifiableMap(copy);
  }

  /** The numbers of a name; none where it is not there. */
  public List<Double> list(String name) {
    return numbers.getOrDefault(name, List.of());
  }

  /** The one number of a name, or another where it is not there. */
  public double number(String name, double absent) {
    List<Double> values = list(name);
    return values.isEmpty() ? absent : values.get(0);
  }

  /** {@link #number} for counts. */
  public int count(String name) {
    return (int) number(name, 0);
  }
}
