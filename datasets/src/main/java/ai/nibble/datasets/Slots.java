package ai.nibble.datasets;

import java.util.LinkedHashMap;
import java.util.Map;

/** The values of one conversation by name, in the order they came up. */
final class Slots {
  private final Supply supply;
  private final Map<String, Value> values = new LinkedHashMap<>();

  /**
   * @param supply where values come from that are asked for the first time
   */
  Slots(Supply supply) {
    this.supply = supply;
  }

  /** The name's value; drawn where there is none yet, other than all so far. */
  Value value(String name, String kind) {
    Value known = values.get(name);
    if (known != null) {
      return known;
    }
    Value drawn = supply.draw(kind);
    // Two cities of one journey differ; closed kinds have enough members for that, too.
    for (int i = 0; i < 20 && values.containsValue(drawn); i++) {
      drawn = supply.draw(kind);
    }
    values.put(name, drawn);
    return drawn;
  }

  void set(String name, Value value) {
    values.put(name, value);
  }

  boolean has(String name) {
    return values.containsKey(name);
  }

  Map<String, Value> values() {
    return values;
  }
}
