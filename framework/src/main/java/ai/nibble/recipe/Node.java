package ai.nibble.recipe;

import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** What a YAML file holds, before any key is understood; immutable, so an alias may share it. */
sealed interface Node {
  Position at();

  /** Values in this tree, itself included; aliases count each time they are used. */
  int size();

  /** For messages: {@code 'nf5'}, {@code a list}. */
  String seen();

  /**
   * One value.
   *
   * @param text without its quotes
   * @param quoted whether YAML quoted it, which makes it text whatever it looks like
   */
  record Scalar(String text, boolean quoted, Position at) implements Node {
    @Override
    public int size() {
      return 1;
    }

    ScalarKind kind() {
      return quoted ? ScalarKind.TEXT : ScalarKind.of(text);
    }

    @Override
    public String seen() {
      if (quoted) {
        return "the text \"" + Problems.shown(text) + "\"";
      }
      return kind() == ScalarKind.NULL ? "empty" : "'" + Problems.shown(text) + "'";
    }
  }

  /** A list. */
  record Items(List<Node> items, Position at, int size) implements Node {
    Items(List<Node> items, Position at) {
      this(List.copyOf(items), at, 1 + items.stream().mapToInt(Node::size).sum());
    }

    @Override
    public String seen() {
      return items.isEmpty() ? "an empty list" : "a list";
    }
  }

  /** A map, in the order written. */
  record Fields(Map<String, Field> fields, Position at, int size) implements Node {
    Fields(Map<String, Field> fields, Position at) {
      this(
          Collections.unmodifiableMap(new LinkedHashMap<>(fields)),
          at,
          1 + fields.values().stream().mapToInt(f -> f.value().size()).sum());
    }

    /** This map with {@code over} laid on top: maps merge, everything else is replaced. */
    Fields merge(Fields over) {
      Map<String, Field> merged = new LinkedHashMap<>(fields);
      over.fields.forEach(
          (key, field) -> {
            Field under = merged.get(key);
            if (under != null
                && under.value() instanceof Fields base
                && field.value() instanceof Fields top) {
              merged.put(key, new Field(field.keyAt(), base.merge(top)));
            } else {
              merged.put(key, field);
            }
          });
      return new Fields(merged, over.at);
    }

    Fields with(String key, Field field) {
      Map<String, Field> more = new LinkedHashMap<>(fields);
      more.put(key, field);
      return new Fields(more, at);
    }

    @Override
    public String seen() {
      return "a map";
    }
  }

  /** A map's value and where its key stands. */
  record Field(Position keyAt, Node value) {}
}
