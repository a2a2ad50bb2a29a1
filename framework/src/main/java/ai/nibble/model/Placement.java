package ai.nibble.model;

import ai.nibble.tensor.Device;
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
    return "model.layers." + index;
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
