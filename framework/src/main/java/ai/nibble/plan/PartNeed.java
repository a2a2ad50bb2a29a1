package ai.nibble.plan;

import ai.nibble.model.StepMemory;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;

/**
 * What a part of a model needs of the device that it is placed on. Parts are the embedding, each
 * layer, and the last norm with the output head, in the order in which they are computed.
 *
 * @param modules paths of the part's modules
 * @param held bytes that are there all the time: weights, trained values, their gradients and what
 *     the optimizer remembers
 * @param passes what each kind of pass holds of it: one after the other, never two at once
 */
public record PartNeed(
    List<String> modules, Map<Component, Long> held, List<StepMemory.Part> passes) {
  public PartNeed {
    modules = List.copyOf(modules);
    EnumMap<Component, Long> copy = new EnumMap<>(Component.class);
    copy.putAll(held);
    held = copy;
    passes = List.copyOf(passes);
  }
}
