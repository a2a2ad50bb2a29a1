package ai.nibble.recipe;

import ai.nibble.lora.PathValues;
import java.util.ArrayList;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** The types built from others: optional, list, map. */
final class GroupTypes {
  private GroupTypes() {}

  /** {@code Optional}: a word, usually {@code null}, stands for "nothing". */
  record Maybe(ValueType type, String none) implements ValueType {
    @Override
    public Object read(Node node, Reading at) {
      if (node instanceof Node.Scalar scalar) {
        boolean isNull = none.equals("null") && scalar.kind() == ScalarKind.NULL;
        if (isNull || scalar.text().equals(none)) {
          return Optional.empty();
        }
      }
      Object value = type.read(node, at);
      return value == null ? null : Optional.of(value);
    }

    @Override
    public Object write(Object value) {
      return ((Optional<?>) value).map(type::write).orElse(none);
    }

    @Override
    public String expected() {
      return none.equals("null") ? type.expected() : "'" + none + "' or " + type.expected();
    }
  }

  /** {@code List}: a single value stands for a list of one, and {@code none} for an empty one. */
  record ListOf(ValueType type, int atLeast, boolean repeats) implements ValueType {
    /** Of which no item comes twice. */
    ListOf(ValueType type, int atLeast) {
      this(type, atLeast, false);
    }

    @Override
    public Object read(Node node, Reading at) {
      if (node instanceof Node.Scalar scalar) {
        boolean nothing = scalar.kind() == ScalarKind.NULL || scalar.text().equals("none");
        if (nothing && atLeast == 0) {
          return List.of();
        }
        if (scalar.kind() == ScalarKind.NULL || type instanceof RecordType) {
          at.reject(node, expected());
          return null;
        }
        Object one = type.read(node, at);
        return one == null ? null : List.of(one);
      }
      if (!(node instanceof Node.Items items) || items.items().size() < atLeast) {
        at.reject(node, expected());
        return null;
      }
      return all(items, at);
    }

    private Object all(Node.Items items, Reading at) {
      Collection<Object> values = new ArrayList<>();
      Collection<Object> seen = new LinkedHashSet<>();
      boolean whole = true;
      for (int i = 0; i < items.items().size(); i++) {
        Node item = items.items().get(i);
        Reading inner = at.child(Integer.toString(i));
        inner.positions().put(inner.key(), item.at());
        Object value = type.read(item, inner);
        whole &= value != null;
        if (value != null && !seen.add(value) && !repeats) {
          inner
              .problems()
              .add(
                  item.at(),
                  "'"
                      + inner.shownKey()
                      + "' is "
                      + item.seen()
                      + ", which repeats an entry: remove it");
        }
        values.add(value);
      }
      return whole ? List.copyOf(values) : null;
    }

    @Override
    public Object write(Object value) {
      return ((List<?>) value).stream().map(type::write).toList();
    }

    @Override
    public String expected() {
      return "a list" + (atLeast > 0 ? " of at least " + atLeast : "") + " (" + each() + ")";
    }

    private String each() {
      return "each " + type.expected();
    }
  }

  /** {@code Map} from text, or from regular expressions. */
  record MapOf(ValueType type, boolean regexNames) implements ValueType {
    @Override
    public Object read(Node node, Reading at) {
      if (node instanceof Node.Scalar scalar && scalar.kind() == ScalarKind.NULL) {
        return Map.of();
      }
      if (!(node instanceof Node.Fields fields)) {
        at.reject(node, expected());
        return null;
      }
      Map<String, Object> values = new LinkedHashMap<>();
      fields
          .fields()
          .forEach(
              (name, field) -> {
                Reading inner = at.child(name);
                inner.positions().put(inner.key(), field.value().at());
                Optional<String> flaw = regexNames ? PathValues.flawOf(name) : Optional.empty();
                flaw.ifPresent(
                    what -> {
                      String seen = "'" + inner.shownKey() + "' is no regular expression: ";
                      at.problems().add(field.keyAt(), seen + Problems.shown(what));
                    });
                values.put(name, type.read(field.value(), inner));
              });
      return values.containsValue(null) ? null : values;
    }

    @Override
    public Object write(Object value) {
      Map<String, Object> written = new LinkedHashMap<>();
      ((Map<?, ?>) value).forEach((k, v) -> written.put((String) k, type.write(v)));
      return written;
    }

    @Override
    public String expected() {
      return "a map from "
          + (regexNames ? "regular expression" : "name")
          + " to "
          + type.expected();
    }
  }
}
