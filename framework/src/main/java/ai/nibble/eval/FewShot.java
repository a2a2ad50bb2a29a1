package ai.nibble.eval;

import ai.nibble.InvalidInputException;
import ai.nibble.eval.task.Example;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.SplittableRandom;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

/**
 * Solved examples before a question, drawn at random from its group. An item's examples depend on
 * the seed, the pool and the item's number alone: they are the same whichever items are evaluated.
 */
public final class FewShot<T extends Example> {
  /** What stands behind every example, as in lm-evaluation-harness. */
  public static final String SEPARATOR = "\n\n";

  private final int count;
  private final long seed;
  private final List<T> pool;
  private final boolean poolIsEvaluated;
  private final Map<String, List<Integer>> groups;

  /**
   * @param count examples an item
   * @param pool where they come from
   * @param poolIsEvaluated whether the pool is what is evaluated: an item is no example of itself
   */
  public FewShot(int count, long seed, List<T> pool, boolean poolIsEvaluated) {
    this.count = count;
    this.seed = seed;
    this.pool = List.copyOf(pool);
    this.poolIsEvaluated = poolIsEvaluated;
    this.groups =
        IntStream.range(0, pool.size())
            .boxed()
            .collect(Collectors.groupingBy(i -> pool.get(i).group()));
  }

  /** No examples. */
  public static <T extends Example> FewShot<T> none() {
    return new FewShot<>(0, 0, List.of(), true);
  }

  /**
   * Examples for an item, in the order in which they stand before it.
   *
   * @throws InvalidInputException where its group has too few
   */
  List<T> examples(T item, int index) {
    if (count == 0) {
      return List.of();
    }
    List<Integer> group = groups.getOrDefault(item.group(), List.of());
    int others = group.size() - (poolIsEvaluated ? 1 : 0);
    if (others < count) {
      throw new InvalidInputException(
          item.where()
              + ": --num-fewshot is "
              + count
              + ", but there are "
              + Math.max(0, others)
              + " other examples"
              + (item.group().isEmpty() ? "" : " of '" + item.group() + "'")
              + ": lower it, or give more with --fewshot-file");
    }
    SplittableRandom random = new SplittableRandom(seed * 1_000_003L + index);
    Set<Integer> drawn = new LinkedHashSet<>();
    while (drawn.size() < count) {
      int at = group.get(random.nextInt(group.size()));
      if (!poolIsEvaluated || at != index) {
        drawn.add(at);
      }
    }
    return drawn.stream().map(pool::get).toList();
  }

  /** What results depend on, by the names of options. */
  Map<String, String> settings() {
    Map<String, String> settings = new LinkedHashMap<>();
    settings.put("num_fewshot", "" + count);
    if (count > 0) {
      settings.put("fewshot_seed", "" + seed);
      settings.put("fewshot_file", poolIsEvaluated ? "none" : Fingerprint.of(pool));
    }
    return settings;
  }
}
