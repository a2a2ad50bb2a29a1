package ai.nibble.lora;

import ai.nibble.InvalidInputException;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * Numbers for some modules, by pattern: {@code rank_pattern} and {@code alpha_pattern}.
 *
 * <p>A key is a regular expression in Python's syntax and means every module whose path it matches
 * after nothing or after any prefix that ends in a dot, PEFT's {@code ^(.*\.)?(key)$}. The first
 * key that matches counts, in the order given.
 *
 * @param <V> the numbers' type
 */
public final class PathValues<V extends Number> {
  private static final String BEFORE = "(.*\\.)?(";
  private static final String AFTER = ")$";

  private record Entry<V>(String key, PathPattern pattern, V value) {}

  private final Map<String, V> map;
  private final List<Entry<V>> entries = new ArrayList<>();

  /**
   * @param place the key that holds them, for messages
   * @param map numbers by pattern, in the order in which to try them
   * @throws InvalidInputException with every pattern that is none
   */
  public PathValues(String place, Map<String, V> map) {
    this.map = Collections.unmodifiableMap(new LinkedHashMap<>(map));
    List<String> problems = new ArrayList<>();
    this.map.forEach(
        (key, value) -> {
          try {
            PathPattern pattern = PathPattern.compile(place, key, BEFORE, AFTER);
            entries.add(new Entry<>(key, pattern, value));
          } catch (InvalidInputException e) {
            problems.addAll(e.problems());
          }
        });
    if (!problems.isEmpty()) {
      throw new InvalidInputException(problems);
    }
  }

  /** No number for any module. */
  public static <V extends Number> PathValues<V> none() {
    return new PathValues<>("", Map.of());
  }

  /** What keeps a text from being a key, in a few words; empty where nothing does. */
  public static Optional<String> flawOf(String key) {
    return PathPattern.flaw(key, BEFORE, AFTER);
  }

  /** The number for a module, if a pattern matches its path. */
  public Optional<V> get(String path) {
    return entry(path).map(Entry::value);
  }

  /** The pattern that decides for a module, if one matches its path. */
  Optional<String> keyFor(String path) {
    return entry(path).map(Entry::key);
  }

  private Optional<Entry<V>> entry(String path) {
    return entries.stream().filter(entry -> entry.pattern().matches(path)).findFirst();
  }

  /** The numbers by pattern. */
  public Map<String, V> map() {
    return map;
  }

  @Override
  public boolean equals(Object other) {
    return other instanceof PathValues<?> values
        && List.copyOf(map.entrySet()).equals(List.copyOf(values.map.entrySet()));
  }

  @Override
  public int hashCode() {
    return map.hashCode();
  }

  @Override
  public String toString() {
    return map.toString();
  }
}
