package ai.nibble.model;

import ai.nibble.tensor.Device;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Placements of a model of two layers over pretended devices. */
public final class Splits {
  private static final Device ONE = Device.pretended(1);
  private static final Device TWO = Device.pretended(2);
  private static final Device THREE = Device.pretended(3);

  private Splits() {}

  /** The parts of a model with a head of its own, in the order in which they are computed. */
  private static Placement of(
      Device embedding, Device first, Device second, Device norm, Device head) {
    Map<String, Device> modules = new LinkedHashMap<>();
    modules.put(CausalLm.EMBEDDING, embedding);
    modules.put(Placement.layer(0), first);
    modules.put(Placement.layer(1), second);
    modules.put(CausalLm.NORM, norm);
    modules.put(CausalLm.HEAD, head);
    return new Placement(modules);
  }

  /** Over two devices, between the layers. */
  public static Placement overTwo() {
    return of(ONE, ONE, TWO, TWO, TWO);
  }

  /** Over three devices, at every boundary there is, and back to the first. */
  public static Placement overThree() {
    return of(ONE, TWO, THREE, ONE, TWO);
  }

  /** The CPU first, as where a GPU has room for the last layers alone. */
  public static Placement cpuFirst() {
    return of(Device.CPU, Device.CPU, ONE, ONE, ONE);
  }

  public static List<Placement> all() {
    return List.of(overTwo(), overThree(), cpuFirst());
  }
}
