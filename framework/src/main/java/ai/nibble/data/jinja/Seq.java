package ai.nibble.data.jinja;

import java.util.List;

/**
 * A list, tuple, range or view of a dict: ordered, of known length.
 *
 * @param items never changed after the sequence is made
 * @param kind Python's type name
 */
record Seq(List<Object> items, String kind) {
  Seq(List<Object> items, boolean tuple) {
    this(items, tuple ? "tuple" : "list");
  }

  static Seq list(List<Object> items) {
    return new Seq(items, "list");
  }

  static Seq tuple(Object... items) {
    return new Seq(java.util.Arrays.asList(items), "tuple");
  }

  boolean isList() {
    return kind.equals("list");
  }

  boolean isTuple() {
    return kind.equals("tuple");
  }

  /** Views of a dict have a length but no positions. */
  boolean isIndexable() {
    return isList() || isTuple() || kind.equals("range");
  }
}
