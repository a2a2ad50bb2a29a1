package ai.nibble.data.jinja;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * The arguments as written.
 *
 * @param star the expression behind {@code *}, or null
 * @param doubleStar the expression behind {@code **}, or null
 */
record ArgumentList(List<Expr> positional, Map<String, Expr> named, Expr star, Expr doubleStar) {
  static final ArgumentList NONE = new ArgumentList(List.of(), Map.of(), null, null);

  Arguments eval(Scope scope) {
    if (this == NONE) {
      return Arguments.NONE;
    }
    List<Object> values = new ArrayList<>(positional.size());
    for (Expr expr : positional) {
      values.add(expr.eval(scope));
    }
    if (star != null) {
      values.addAll(Sequences.toList(star.eval(scope), scope.budget()));
    }
    Map<String, Object> names = new LinkedHashMap<>();
    named.forEach((name, expr) -> names.put(name, expr.eval(scope)));
    if (doubleStar != null) {
      Object more = doubleStar.eval(scope);
      if (!Values.isDict(more)) {
        throw new TemplateError("argument after ** must be a mapping");
      }
      Values.dict(more)
          .forEach((name, value) -> names.put(Values.toStr(name, "a keyword").text(), value));
    }
    return new Arguments(values, names);
  }
}
