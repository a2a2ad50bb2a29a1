package ai.nibble.data.jinja;

import java.util.HashMap;
import java.util.Map;

/** The tests by name. */
final class Tests {
  private static final Map<String, ValueTest> BY_NAME = byName();

  private Tests() {}

  /** The test, or null. */
  static ValueTest named(String name) {
    return BY_NAME.get(name);
  }

  private static Map<String, ValueTest> byName() {
    Map<String, ValueTest> all = new HashMap<>();
    all.put("defined", (v, a, b) -> !(v instanceof Undefined));
    all.put("undefined", (v, a, b) -> v instanceof Undefined);
    all.put("none", (v, a, b) -> v == null);
    all.put("boolean", (v, a, b) -> v instanceof Boolean);
    all.put("true", (v, a, b) -> Boolean.TRUE.equals(v));
    all.put("false", (v, a, b) -> Boolean.FALSE.equals(v));
    all.put("string", (v, a, b) -> v instanceof Str);
    all.put("number", (v, a, b) -> Arithmetic.isNumber(v));
    all.put("integer", (v, a, b) -> Arithmetic.isInteger(v) && !(v instanceof Boolean));
    all.put("float", (v, a, b) -> v instanceof Double);
    all.put("mapping", (v, a, b) -> v instanceof Map);
    all.put("iterable", (v, a, b) -> Sequences.isIterable(v));
    all.put("sequence", (v, a, b) -> isSequence(v));
    all.put("callable", (v, a, b) -> v instanceof Callable);
    all.put("escaped", (v, a, b) -> v instanceof Str str && str.isMarkup());
    all.put("filter", (v, a, b) -> Filters.named(Printing.str(v, b).text()) != null);
    all.put("test", (v, a, b) -> Tests.named(Printing.str(v, b).text()) != null);
    all.put("lower", (v, a, b) -> isCase(Printing.str(v, b), false));
    all.put("upper", (v, a, b) -> isCase(Printing.str(v, b), true));
    all.put("odd", (v, a, b) -> remainder(v, 2L, b) == 1);
    all.put("even", (v, a, b) -> remainder(v, 2L, b) == 0);
    all.put("divisibleby", (v, a, b) -> remainder(v, a.bind("divisibleby", 1, "num")[0], b) == 0);
    all.put("in", (v, a, b) -> Comparison.contains(a.bind("in", 1, "seq")[0], v, b));
    all.put("sameas", (v, a, b) -> same(v, a.bind("sameas", 1, "other")[0]));
    all.put("eq", (v, a, b) -> Comparison.equal(v, other(a), b));
    all.put("ne", (v, a, b) -> !Comparison.equal(v, other(a), b));
    all.put("lt", (v, a, b) -> Comparison.compare(v, other(a), "<", b) < 0);
    all.put("le", (v, a, b) -> Comparison.compare(v, other(a), "<=", b) <= 0);
    all.put("gt", (v, a, b) -> Comparison.compare(v, other(a), ">", b) > 0);
    all.put("ge", (v, a, b) -> Comparison.compare(v, other(a), ">=", b) >= 0);
    String[][] aliases = {
      {"equalto", "eq"},
      {"==", "eq"},
      {"!=", "ne"},
      {"<", "lt"},
      {"lessthan", "lt"},
      {"<=", "le"},
      {">", "gt"},
      {"greaterthan", "gt"},
      {">=", "ge"}
    };
    for (String[] alias : aliases) {
      all.put(alias[0], all.get(alias[1]));
    }
    return Map.copyOf(all);
  }

  private static Object other(Arguments arguments) {
    return arguments.bind("a comparison", 1, "other")[0];
  }

  /** Jinja's idea: whatever has a length and answers to an index. */
  private static boolean isSequence(Object value) {
    return value instanceof Str
        || value instanceof Map
        || value instanceof Undefined
        || (value instanceof Seq seq && seq.isIndexable());
  }

  private static boolean isCase(Str s, boolean upper) {
    Str mapped = upper ? StringMethods.upper(s) : StringMethods.lower(s);
    Str opposite = upper ? StringMethods.lower(s) : StringMethods.upper(s);
    return s.equals(mapped) && !s.equals(opposite);
  }

  private static boolean same(Object a, Object b) {
    boolean scalar = a instanceof Boolean || a instanceof Long || a instanceof Str;
    return a == b || (scalar && a.equals(b));
  }

  private static double remainder(Object value, Object divisor, Budget budget) {
    return Arithmetic.toDouble(Arithmetic.apply("%", value, divisor, budget));
  }
}
