package ai.nibble.data.jinja;

import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.Map;

/** What Python's {@code json.dumps} writes. */
final class JsonText {
  private final boolean ensureAscii;
  private final Str indent;
  private final Str itemSeparator;
  private final Str keySeparator;
  private final boolean sortKeys;
  private final Budget budget;
  private final StrBuilder out = new StrBuilder();

  private JsonText(Object[] options, Budget budget) {
    this.ensureAscii = Values.truth(Arguments.or(options[0], false));
    this.indent = indent(Arguments.or(options[1], null));
    Object separators = Arguments.or(options[2], null);
    if (separators == null) {
      this.itemSeparator = Str.of(indent == null ? ", " : ",");
      this.keySeparator = Str.of(": ");
    } else {
      List<Object> pair = Sequences.toList(separators, budget);
      if (pair.size() != 2) {
        throw new TemplateError("tojson's separators are " + pair.size() + " values, expected 2");
      }
      this.itemSeparator = Values.toStr(pair.get(0), "a separator");
      this.keySeparator = Values.toStr(pair.get(1), "a separator");
    }
    this.sortKeys = Values.truth(Arguments.or(options[3], false));
    this.budget = budget;
  }

  /** The {@code tojson} filter: {@code ensure_ascii, indent, separators, sort_keys}. */
  static Str filter(Object value, Arguments arguments, Budget budget) {
    Object[] options =
        arguments.bind("tojson", 0, "ensure_ascii", "indent", "separators", "sort_keys");
    JsonText json = new JsonText(options, budget);
    json.write(value, 0);
    return json.out.build();
  }

  private static Str indent(Object indent) {
    if (indent == null || indent instanceof Str) {
      return (Str) indent;
    }
    int n = Math.max(0, Values.toInt(indent, "tojson's indent"));
    Budget.checkText(n);
    return Str.of(" ".repeat(n));
  }

  private void write(Object value, int depth) {
    if (depth > Budget.MAX_VALUE_DEPTH) {
      throw new TemplateError("a value is nested deeper than " + Budget.MAX_VALUE_DEPTH);
    }
    budget.work(16);
    if (value == null) {
      out.append("null");
    } else if (value instanceof Str str) {
      string(str);
    } else if (value instanceof Seq seq && (seq.isList() || seq.isTuple())) {
      list(seq.items(), depth);
    } else if (value instanceof Map) {
      dict(Values.dict(value), depth);
    } else if (Arithmetic.isNumber(value)) {
      out.append(number(value));
    } else {
      throw new TemplateError(
          "Object of type " + Values.typeName(value) + " is not JSON serializable");
    }
  }

  private static String number(Object value) {
    if (value instanceof Boolean bool) {
      return bool ? "true" : "false";
    }
    if (value instanceof Double number) {
      if (number.isNaN()) {
        return "NaN";
      }
      return number.isInfinite()
          ? (number > 0 ? "Infinity" : "-Infinity")
          : Printing.floating(number);
    }
    return value.toString();
  }

  private void list(List<Object> items, int depth) {
    out.append("[");
    for (int i = 0; i < items.size(); i++) {
      between(i, depth + 1);
      write(items.get(i), depth + 1);
    }
    close(items.isEmpty(), depth);
    out.append("]");
  }

  private void dict(Map<Object, Object> map, int depth) {
    List<Map.Entry<Object, Object>> entries = new ArrayList<>(map.entrySet());
    if (sortKeys) {
      entries.sort((a, b) -> Comparison.compare(a.getKey(), b.getKey(), "<", budget));
    }
    out.append("{");
    Iterator<Map.Entry<Object, Object>> each = entries.iterator();
    for (int i = 0; each.hasNext(); i++) {
      Map.Entry<Object, Object> entry = each.next();
      between(i, depth + 1);
      string(key(entry.getKey()));
      out.append(keySeparator);
      write(entry.getValue(), depth + 1);
    }
    close(map.isEmpty(), depth);
    out.append("}");
  }

  private static Str key(Object key) {
    if (key instanceof Str str) {
      return str;
    }
    if (key == null) {
      return Str.of("null");
    }
    if (Arithmetic.isNumber(key)) {
      return Str.of(number(key));
    }
    throw new TemplateError(
        "keys must be str, int, float, bool or None, not " + Values.typeName(key));
  }

  private void between(int index, int depth) {
    if (index > 0) {
      out.append(itemSeparator);
    }
    newLine(depth);
  }

  private void close(boolean empty, int depth) {
    if (!empty) {
      newLine(depth);
    }
  }

  private void newLine(int depth) {
    if (indent != null) {
      out.append("\n");
      for (int i = 0; i < depth; i++) {
        out.append(indent);
      }
    }
  }

  private void string(Str str) {
    out.append("\"");
    out.append(str.mapRuns(this::escape));
    out.append("\"");
  }

  private String escape(String run) {
    StringBuilder escaped = new StringBuilder(run.length() + 8);
    for (int i = 0; i < run.length(); i++) {
      char c = run.charAt(i);
      switch (c) {
        case '"' -> escaped.append("\\\"");
        case '\\' -> escaped.append("\\\\");
        case '\n' -> escaped.append("\\n");
        case '\r' -> escaped.append("\\r");
        case '\t' -> escaped.append("\\t");
        case '\f' -> escaped.append("\\f");
        case '\b' -> escaped.append("\\b");
        default -> {
          if (c < 0x20 || (ensureAscii && c > 0x7e)) {
            escaped.append(String.format("\\u%04x", (int) c));
          } else {
            escaped.append(c);
          }
        }
      }
    }
    return escaped.toString();
  }
}
