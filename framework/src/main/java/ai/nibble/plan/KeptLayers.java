package ai.nibble.plan;

import ai.nibble.model.Placement;
import ai.nibble.tensor.Device;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.function.Function;

/**
 * The decoder layers whose weights stay dequantised through a run, instead of being dequantised in
 * each forward and backward.
 *
 * <p>Every layer saves the same time for the same memory: its weights are dequantised as often as
 * another's in a step, and the time that takes grows as the memory does, with the weights. So which
 * are kept makes no difference, and the first are.
 *
 * @param bytes that each of them takes, by the layer's index
 */
public record KeptLayers(SortedMap<Integer, Long> bytes) {
  /** None. */
  public static final KeptLayers NONE = new KeptLayers(new TreeMap<>());

  public KeptLayers {
    bytes = Collections.unmodifiableSortedMap(new TreeMap<>(bytes));
  }

  /**
   * The first ones.
   *
   * @param each bytes of all layers, in their order
   */
  public static KeptLayers first(int count, List<Long> each) {
    SortedMap<Integer, Long> first = new TreeMap<>();
    for (int i = 0; i < count; i++) {
      first.put(i, each.get(i));
    }
    return new KeptLayers(first);
  }

  /**
   * As many as there is room for beside a run, with what a plan may be off by; the first ones.
   *
   * @param run without any
   * @param each bytes of all layers, in their order
   */
  public static KeptLayers thatFit(MemoryPlan run, Budget budget, List<Long> each) {
    int count = 0;
    long bytes = 0;
    while (count < each.size() && budget.holds(run.keeping(bytes + each.get(count)).peak())) {
      bytes += each.get(count);
      count++;
    }
    return first(count, each);
  }

  /**
   * As many of the layers on each device as it has room for; none on a CPU, where weights are held
   * in few bits to save memory.
   *
   * @param run without any
   * @param each bytes of all layers in their order, by where they would be
   */
  public static KeptLayers thatFit(DevicePlan run, Function<Device, List<Long>> each) {
    SortedMap<Integer, Long> kept = new TreeMap<>();
    for (DeviceUse use : run.uses()) {
      Device device = use.room().device();
      if (device.isCpu()) {
        continue;
      }
      long bytes = 0;
      for (Map.Entry<Integer, Long> layer : on(use, each.apply(device)).entrySet()) {
        bytes += layer.getValue();
        if (!use.keeping(bytes).fits()) {
          break;
        }
        kept.put(layer.getKey(), layer.getValue());
      }
    }
    return new KeptLayers(kept);
  }

  /** The layers on a device, with their bytes. */
  private static SortedMap<Integer, Long> on(DeviceUse use, List<Long> each) {
    SortedMap<Integer, Long> there = new TreeMap<>();
    for (int i = 0; i < each.size(); i++) {
      if (use.modules().contains(Placement.layer(i))) {
        there.put(i, each.get(i));
      }
    }
    return there;
  }

  /** Of these layers, the bytes of those on each device. */
  Map<Device, Long> on(DevicePlan plan) {
    Map<Device, Long> sums = new HashMap<>();
    for (DeviceUse use : plan.uses()) {
      bytes.forEach(
          (layer, size) -> {
            if (use.modules().contains(Placement.layer(layer))) {
              sums.merge(use.room().device(), size, Long::sum);
            }
          });
    }
    return sums;
  }

  /** Whether there are none. */
  public boolean isEmpty() {
    return bytes.isEmpty();
  }

  /** Their indices, ascending. */
  public List<Integer> layers() {
    return List.copyOf(bytes.keySet());
  }

  /** Bytes of all of them. */
  public long total() {
    return bytes.values().stream().mapToLong(Long::longValue).sum();
  }

  /** {@code model.layers.0 to model.layers.13}. */
  public String modules() {
    return Placement.text(layers().stream().map(Placement::layer).toList());
  }
}
