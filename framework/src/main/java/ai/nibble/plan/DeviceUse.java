package ai.nibble.plan;

import ai.nibble.model.Placement;
import ai.nibble.model.StepMemory;
import ai.nibble.nn.Workspace.Purpose;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;

/**
 * What the parts that are placed on a device take of its memory.
 *
 * @param modules paths of what is there, in the order in which it is computed
 * @param bytes of each component at the moment of the most
 */
public record DeviceUse(Room room, List<String> modules, Map<Component, Long> bytes) {
  /** The use of a device by some parts. */
  static DeviceUse of(Room room, List<PartNeed> parts) {
    Map<Component, Long> all = new EnumMap<>(Component.class);
    for (PartNeed part : parts) {
      part.held().forEach((component, bytes) -> all.merge(component, bytes, Long::sum));
    }
    Map<Component, Long> largest = Map.of();
    int passes = parts.isEmpty() ? 0 : parts.get(0).passes().size();
    for (int i = 0; i < passes; i++) {
      int pass = i;
      Map<Component, Long> held =
          pass(room.host(), parts.stream().map(part -> part.passes().get(pass)).toList());
      largest = sum(held) > sum(largest) ? held : largest;
    }
    all.putAll(largest);
    all.put(Component.WORKSPACE, workspace(parts)); // one pass leaves its buffers to the next
    all.put(Component.PROCESS, room.host().process());
    all.values().removeIf(bytes -> bytes == 0);
    List<String> modules = parts.stream().flatMap(part -> part.modules().stream()).toList();
    return new DeviceUse(room, modules, all);
  }

  private static Map<Component, Long> pass(Host host, List<StepMemory.Part> parts) {
    long kept = parts.stream().mapToLong(StepMemory.Part::kept).sum();
    long moment = parts.stream().mapToLong(StepMemory.Part::moment).max().orElse(0);
    long made = parts.stream().mapToLong(StepMemory.Part::made).max().orElse(0);
    Map<Component, Long> held = new EnumMap<>(Component.class);
    held.put(Component.ACTIVATIONS, kept);
    held.put(Component.WORKING, moment);
    held.put(Component.HEAP, Math.round(host.slack() * (kept + moment) + host.layers() * made));
    return held;
  }

  private static long workspace(List<PartNeed> parts) {
    Map<Purpose, Long> buffers = new EnumMap<>(Purpose.class);
    for (PartNeed part : parts) {
      for (StepMemory.Part pass : part.passes()) {
        pass.workspace().forEach((purpose, bytes) -> buffers.merge(purpose, bytes, Math::max));
      }
    }
    return buffers.values().stream().mapToLong(Long::longValue).sum();
  }

  /** The use with weights that are kept dequantised: see {@link KeptLayers}. */
  DeviceUse keeping(long more) {
    Map<Component, Long> all = new EnumMap<>(bytes);
    all.merge(Component.KEPT_WEIGHTS, more, Long::sum);
    return new DeviceUse(room, modules, all);
  }

  private static long sum(Map<Component, Long> bytes) {
    return bytes.values().stream().mapToLong(Long::longValue).sum();
  }

  /** {@code cuda:0 about 18.2 GiB of 21.9 GiB for model.embed_tokens, model.layers.0 to …}. */
  public String summary() {
    return room.device()
        + " about "
        + Sizes.text(total())
        + " of "
        + Sizes.text(room.budget().available())
        + " for "
        + Placement.text(modules);
  }

  /** All bytes. */
  public long total() {
    return sum(bytes);
  }

  /** Whether the device has the room, with what a plan may be off by. */
  public boolean fits() {
    return room.budget().holds(total());
  }
}
