package ai.nibble.data.jinja;

import java.util.LinkedHashMap;
import java.util.Map;

/** {@code namespace()}: the one thing a template may change. */
final class Namespace implements Attributes.Owner {
  private final Map<String, Object> values = new LinkedHashMap<>();

  static Object create(Arguments arguments, Budget budget) {
    Namespace namespace = new Namespace();
    Values.dict(Globals.dict(arguments, budget))
        .forEach((name, value) -> namespace.set(Printing.str(name, budget).text(), value));
    return namespace;
  }

  void set(String name, Object value) {
    if (name.startsWith("_")) {
      throw new TemplateError("a namespace's attribute may not begin with '_': '" + name + "'");
    }
    values.put(name, value);
  }

  @Override
  public Object attribute(String name) {
    return values.containsKey(name) ? values.get(name) : Undefined.attribute(this, Str.of(name));
  }
}
