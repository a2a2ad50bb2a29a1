package ai.nibble.train;

import ai.nibble.model.Mean;
import java.util.Map;
import java.util.TreeMap;

/** What an objective sees on the way, over the micro-batches of a step or an evaluation. */
final class Measures {
  private final Map<String, Mean> means = new TreeMap<>();

  void add(Map<String, Mean> measures) {
    measures.forEach((name, mean) -> means.merge(name, mean, Mean::plus));
  }

  /**
   * The means, by name. Where good and bad answers come in rows of their own, the margin between
   * their rewards is that between the means.
   */
  Map<String, Double> values() {
    Map<String, Double> values = new TreeMap<>();
    means.forEach((name, mean) -> values.put(name, mean.value()));
    Double chosen = values.get("rewards/chosen");
    Double rejected = values.get("rewards/rejected");
    if (chosen != null && rejected != null) {
      values.putIfAbsent("rewards/margins", chosen - rejected);
    }
    return values;
  }
}
