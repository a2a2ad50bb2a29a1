package ai.nibble.data.jinja;

import java.util.HashMap;
import java.util.Map;

/**
 * Variables, innermost first. A loop's turn, a macro's body and {@code with} each have their own.
 */
final class Scope {
  private final Scope outer;
  private final Budget budget;
  private final Map<String, Object> variables = new HashMap<>();

  Scope(Budget budget) {
    this.outer = null;
    this.budget = budget;
  }

  private Scope(Scope outer) {
    this.outer = outer;
    this.budget = outer.budget;
  }

  Scope inner() {
    return new Scope(this);
  }

  Budget budget() {
    return budget;
  }

  Object get(String name) {
    for (Scope scope = this; scope != null; scope = scope.outer) {
      Object value = scope.variables.get(name);
      if (value != null || scope.variables.containsKey(name)) {
        return value;
      }
    }
    return Undefined.variable(name);
  }

  void set(String name, Object value) {
    variables.put(name, value);
  }
}
