package ai.nibble.data.jinja;

import java.util.List;
import java.util.Map;

/** The arguments of one call, by position and by name. */
record Arguments(List<Object> positional, Map<String, Object> named) {
  static final Arguments NONE = new Arguments(List.of(), Map.of());

  /** Stands where an optional argument was not given; {@code None} is a value of its own. */
  static final Object MISSING =
      new Object() {
        @Override
        public String toString() {
          return "(not given)";
        }
      };

  static Arguments of(Object... positional) {
    return new Arguments(java.util.Arrays.asList(positional), Map.of());
  }

  /**
   * The arguments in the order of the parameters, {@link #MISSING} where not given.
   *
   * @param required how many of the parameters must be given
   */
  Object[] bind(String function, int required, String... parameters) {
    if (positional.size() > parameters.length) {
      throw new TemplateError(
          function + "() takes " + parameters.length + " arguments, got " + positional.size());
    }
    Object[] bound = new Object[parameters.length];
    int used = 0;
    for (int i = 0; i < bound.length; i++) {
      boolean byName = named.containsKey(parameters[i]);
      if (i < positional.size()) {
        if (byName) {
          throw new TemplateError(function + "() got '" + parameters[i] + "' twice");
        }
        bound[i] = positional.get(i);
      } else {
        bound[i] = byName ? named.get(parameters[i]) : MISSING;
        if (!byName && i < required) {
          throw new TemplateError(function + "() needs its argument '" + parameters[i] + "'");
        }
        used += byName ? 1 : 0;
      }
    }
    if (used < named.size()) {
      throw new TemplateError(function + "() got an argument it does not know: " + named.keySet());
    }
    return bound;
  }

  /** The arguments without the first {@code n} positions. */
  Arguments from(int n) {
    return new Arguments(
        positional.subList(Math.min(n, positional.size()), positional.size()), named);
  }

  static Object or(Object value, Object fallback) {
    return value == MISSING ? fallback : value;
  }
}
