package ai.nibble.plan;

import java.util.EnumMap;
import java.util.Map;

/**
 * Bytes of each component at the peak of each phase.
 *
 * @param phases in their order
 */
public record MemoryPlan(Map<Phase, Map<Component, Long>> phases) {
  public MemoryPlan {
    EnumMap<Phase, Map<Component, Long>> copy = new EnumMap<>(Phase.class);
    phases.forEach((phase, components) -> copy.put(phase, new EnumMap<>(components)));
    phases = copy;
  }

  /** Bytes of a component in a phase. */
  public long bytes(Phase phase, Component component) {
    return phases.getOrDefault(phase, Map.of()).getOrDefault(component, 0L);
  }

  /** Bytes of a phase. */
  public long total(Phase phase) {
    return phases.getOrDefault(phase, Map.of()).values().stream().mapToLong(b -> b).sum();
  }

  /** Bytes of the largest phase of the run itself: what comes after is another process. */
  public long peak() {
    return phases.keySet().stream()
        .filter(phase -> phase != Phase.MERGE)
        .mapToLong(this::total)
        .max()
        .orElse(0);
  }
}
