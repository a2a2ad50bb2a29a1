package ai.nibble.plan;

import java.util.EnumMap;
import java.util.EnumSet;
import java.util.Map;
import java.util.Set;

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

  /** What each worker has of its own where several compute in one memory. */
  private static final Set<Component> OF_A_WORKER =
      EnumSet.of(
          Component.WEIGHTS_4BIT,
          Component.ABSMAX,
          Component.WEIGHTS_8BIT,
          Component.WEIGHTS_DENSE,
          Component.KEPT_WEIGHTS,
          Component.FROZEN_ADAPTER,
          Component.TRAINED,
          Component.GRADIENTS,
          Component.ACTIVATIONS,
          Component.WORKING,
          Component.LOSS,
          Component.WORKSPACE,
          Component.HEAP);

  /** The plan of so many workers in one memory; what follows the run is as it is. */
  public MemoryPlan times(int workers) {
    Map<Phase, Map<Component, Long>> all = new EnumMap<>(Phase.class);
    phases.forEach(
        (phase, components) -> {
          Map<Component, Long> more = new EnumMap<>(components);
          if (phase != Phase.MERGE) {
            more.replaceAll((c, bytes) -> OF_A_WORKER.contains(c) ? workers * bytes : bytes);
          }
          all.put(phase, more);
        });
    return new MemoryPlan(all);
  }

  /** The plan with more gradients, from training on: what is received of another device. */
  public MemoryPlan receiving(long bytes) {
    return with(Component.GRADIENTS, bytes);
  }

  /** The plan with weights that are kept dequantised, from training on: see {@link KeptLayers}. */
  public MemoryPlan keeping(long bytes) {
    return bytes == 0 ? this : with(Component.KEPT_WEIGHTS, bytes);
  }

  /** With more of something in all phases of the run but loading. */
  private MemoryPlan with(Component component, long bytes) {
    Map<Phase, Map<Component, Long>> all = new EnumMap<>(Phase.class);
    phases.forEach(
        (phase, components) -> {
          Map<Component, Long> more = new EnumMap<>(components);
          if (phase != Phase.MERGE && phase != Phase.LOAD) {
            more.merge(component, bytes, Long::sum);
          }
          all.put(phase, more);
        });
    return new MemoryPlan(all);
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
