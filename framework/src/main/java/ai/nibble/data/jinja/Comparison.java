package ai.nibble.data.jinja;

import java.util.Iterator;
import java.util.List;
import java.util.Map;

/** Python's {@code ==}, {@code <} and {@code in}. */
final class Comparison {
  private Comparison() {}

  static boolean equal(Object a, Object b, Budget budget) {
    return equal(a, b, budget, 0);
  }

  private static boolean equal(Object a, Object b, Budget budget, int depth) {
    if (depth > Budget.MAX_VALUE_DEPTH) {
      throw new TemplateError("values are nested deeper than " + Budget.MAX_VALUE_DEPTH);
    }
    budget.work(4);
    if (a == null || b == null) {
      return a == b;
    }
    if (Arithmetic.isNumber(a) && Arithmetic.isNumber(b)) {
      boolean nan = Double.isNaN(Arithmetic.toDouble(a)) || Double.isNaN(Arithmetic.toDouble(b));
      return !nan && compareNumbers(a, b) == 0;
    }
    if (a instanceof Str x && b instanceof Str y) {
      budget.work(x.length() == y.length() ? x.length() / 8 : 0);
      return x.equals(y);
    }
    if (a instanceof Seq x && b instanceof Seq y) {
      return x.kind().equals(y.kind()) && equalLists(x.items(), y.items(), budget, depth);
    }
    if (a instanceof Map && b instanceof Map) {
      return equalDicts(Values.dict(a), Values.dict(b), budget, depth);
    }
    return a instanceof Undefined ? b instanceof Undefined : a == b;
  }

  private static boolean equalLists(List<Object> a, List<Object> b, Budget budget, int depth) {
    if (a.size() != b.size()) {
      return false;
    }
    for (int i = 0; i < a.size(); i++) {
      if (!equal(a.get(i), b.get(i), budget, depth + 1)) {
        return false;
      }
    }
    return true;
  }

  private static boolean equalDicts(
      Map<Object, Object> a, Map<Object, Object> b, Budget budget, int depth) {
    if (a.size() != b.size()) {
      return false;
    }
    for (Map.Entry<Object, Object> entry : a.entrySet()) {
      if (!b.containsKey(entry.getKey())
          || !equal(entry.getValue(), b.get(entry.getKey()), budget, depth + 1)) {
        return false;
      }
    }
    return true;
  }

  /** Below, at or above 0; a type without order is an error, as in Python 3. */
  static int compare(Object a, Object b, String op, Budget budget) {
    return compare(a, b, op, budget, 0);
  }

  private static int compare(Object a, Object b, String op, Budget budget, int depth) {
    budget.work(4);
    if (Arithmetic.isNumber(a) && Arithmetic.isNumber(b)) {
      return compareNumbers(a, b);
    }
    if (a instanceof Str x && b instanceof Str y) {
      budget.work(Math.min(x.length(), y.length()) / 4);
      return x.compareTo(y);
    }
    if (a instanceof Seq x
        && b instanceof Seq y
        && x.kind().equals(y.kind())
        && x.isIndexable()
        && depth < Budget.MAX_VALUE_DEPTH) {
      int n = Math.min(x.items().size(), y.items().size());
      for (int i = 0; i < n; i++) {
        if (!equal(x.items().get(i), y.items().get(i), budget, depth + 1)) {
          return compare(x.items().get(i), y.items().get(i), op, budget, depth + 1);
        }
      }
      return Integer.compare(x.items().size(), y.items().size());
    }
    if (a instanceof Undefined undefined) {
      throw undefined.error();
    }
    if (b instanceof Undefined undefined) {
      throw undefined.error();
    }
    throw new TemplateError(
        "'"
            + op
            + "' is not supported between '"
            + Values.typeName(a)
            + "' and '"
            + Values.typeName(b)
            + "'");
  }

  private static int compareNumbers(Object a, Object b) {
    if (a instanceof Double || b instanceof Double) {
      double x = Arithmetic.toDouble(a);
      double y = Arithmetic.toDouble(b);
      // Unlike Double.compare, -0.0 equals 0.0. NaN comes last, so that sorting has an order.
      return x == y ? 0 : Double.compare(x, y);
    }
    return Arithmetic.toBig(a).compareTo(Arithmetic.toBig(b));
  }

  static boolean contains(Object container, Object item, Budget budget) {
    if (container instanceof Str text) {
      if (item instanceof Undefined undefined) {
        throw undefined.error();
      }
      if (!(item instanceof Str wanted)) {
        throw new TemplateError(
            "'in <string>' requires string as left operand, not " + Values.typeName(item));
      }
      budget.search(text.length(), wanted.length());
      return text.text().contains(wanted.text());
    }
    if (container instanceof Map) {
      return Values.dict(container).containsKey(Sequences.key(item));
    }
    if (!(container instanceof Seq
        || container instanceof Generator
        || container instanceof Undefined)) {
      throw new TemplateError(
          "argument of type '" + Values.typeName(container) + "' is not iterable");
    }
    for (Iterator<Object> items = Sequences.iterate(container, budget); items.hasNext(); ) {
      if (equal(items.next(), item, budget)) {
        return true;
      }
    }
    return false;
  }
}
