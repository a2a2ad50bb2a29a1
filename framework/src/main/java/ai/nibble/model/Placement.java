package ai.nibble.model;

import ai.nibble.nn.Precision;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Device;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;

/**
 * Where the modules of a decoder are held and computed: a device map, as transformers and
 * accelerate have it. A path stands for the module and all that is in it, the empty path for the
 * whole model; of several that cover a module the longest decides.
 *
 * @param modules devices by module path, at least one
 */
public record Placement(Map<String, Device> modules) {
  /** The path that stands for the whole model. */
  public static final String ALL = "";

  private static final String LAYERS = "model.layers.";

  public Placement {
    modules = Collections.unmodifiableMap(new LinkedHashMap<>(modules));
    if (modules.isEmpty()) {
      throw new IllegalArgumentException("a placement of no modules");
    }
  }

  /** All of a model on one device. */
  public static Placement on(Device device) {
    return new Placement(Map.of(ALL, device));
  }

  /** The path of a decoder's layer. */
  public static String layer(int index) {
    return LAYERS + index;
  }

  /** Whether a path covers a module or a tensor of it. */
  public static boolean covers(String path, String name) {
    return path.equals(ALL) || name.equals(path) || name.startsWith(path + ".");
  }

  /**
   * The device of a module, or of a tensor by its name.
   *
   * @throws IllegalArgumentException if no path covers it
   */
  public Device of(String name) {
    String longest = null;
    for (String path : modules.keySet()) {
      if (covers(path, name) && (longest == null || path.length() > longest.length())) {
        longest = path;
      }
    }
    if (longest == null) {
      throw new IllegalArgumentException("no device for " + name + " in " + modules);
    }
    return modules.get(longest);
  }

  /** The device of the embedding, where a pass begins. */
  public Device first() {
    return of(CausalLm.EMBEDDING);
  }

  /** The devices, those of a pass's beginning first. */
  public List<Device> devices(ModelConfig config) {
    LinkedHashSet<Device> devices = new LinkedHashSet<>(List.of(first()));
    for (int i = 0; i < config.numHiddenLayers(); i++) {
      devices.add(of(layer(i)));
    }
    devices.add(of(CausalLm.NORM));
    devices.add(head(config));
    return List.copyOf(devices);
  }

  /** The device of the output head: the embedding's where that is its weight. */
  public Device head(ModelConfig config) {
    return config.tieWordEmbeddings() ? first() : of(CausalLm.HEAD);
  }

  /** Modules for people, layers that follow one another as {@code model.layers.2 to …}. */
  public static String text(List<String> parts) {
    List<String> text = new ArrayList<>();
    int i = 0;
    while (i < parts.size()) {
      int end = i;
      while (end + 1 < parts.size()
          && parts.get(end).startsWith(LAYERS)
          && parts.get(end + 1).equals(next(parts.get(end)))) {
        end++;
      }
      text.add(end > i ? parts.get(i) + " to " + parts.get(end) : parts.get(i));
      i = end + 1;
    }
    return String.join(", ", text);
  }

  private static String next(String layer) {
    int dot = layer.lastIndexOf('.');
    return layer.substring(0, dot + 1) + (Integer.parseInt(layer.substring(dot + 1)) + 1);
  }

  /**
   * The device that a compute dtype left open is chosen for: a GPU where there is one, as most is
   * computed there and all devices compute in one dtype.
   */
  public Device computeDecider() {
    return modules.values().stream().filter(device -> !device.isCpu()).findFirst().orElse(first());
  }

  /**
   * What there is to know of a model over several devices, a line each.
   *
   * @param compute the dtype that all of them compute in
   */
  public List<String> notices(DType compute) {
    List<String> lines = new ArrayList<>();
    long devices = modules.values().stream().distinct().count();
    if (devices < 2) {
      return lines;
    }
    List<String> onCpu =
        modules.entrySet().stream()
            .filter(e -> e.getValue().equals(Device.CPU))
            .map(Map.Entry::getKey)
            .toList();
    boolean mixed = modules.values().stream().anyMatch(device -> !device.isCpu());
    if (mixed && !onCpu.isEmpty()) {
      String wide = Precision.of(compute, Device.CPU).widens() ? ", its products as float32" : "";
      lines.add(
          text(onCpu)
              + " on the CPU: every pass waits for it; it computes in "
              + compute.torchName()
              + " as the GPUs do"
              + wide
              + ", by other kernels, so that bits differ from a run on one device");
    }
    return lines;
  }

  /** Whether more than one device is named. */
  public boolean isSplit() {
    return new LinkedHashSet<>(modules.values()).size() > 1;
  }

  /** {@code cuda:0}, or of several {@code model.embed_tokens: cuda:0, …}. */
  @Override
  public String toString() {
    return isSplit() ? modules.toString() : modules.values().iterator().next().toString();
  }
}
