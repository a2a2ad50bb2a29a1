package ai.nibble.recipe;

import java.util.List;
import java.util.Map;

/** Where a recipe's settings were written, and what was noticed when they were read. */
public final class Provenance {
  private final String file;
  private final List<String> notices;
  private final Map<String, Position> positions;

  Provenance(String file, List<String> notices, Map<String, Position> positions) {
    this.file = file;
    this.notices = List.copyOf(notices);
    this.positions = Map.copyOf(positions);
  }

  List<String> notices() {
    return notices;
  }

  String where(String key) {
    Position at = positions.get(key);
    return at == null ? file : at.toString();
  }

  /** True for every other: where a setting was written does not change what it says. */
  @Override
  public boolean equals(Object other) {
    return other instanceof Provenance;
  }

  @Override
  public int hashCode() {
    return 1;
  }

  @Override
  public String toString() {
    return file;
  }
}
