package ai.nibble.data.jinja;

import java.math.BigDecimal;
import java.math.BigInteger;
import java.util.ArrayList;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * The values a template works on and how Java's become them: null is {@code None}; Boolean; Long
 * and BigInteger are {@code int}; Double is {@code float}; {@link Str}; {@link Seq} is list or
 * tuple; {@code LinkedHashMap} is {@code dict}; {@link Undefined}.
 */
final class Values {
  private static final BigInteger MIN_LONG = BigInteger.valueOf(Long.MIN_VALUE);
  private static final BigInteger MAX_LONG = BigInteger.valueOf(Long.MAX_VALUE);

  private Values() {}

  /** A deep copy in the template's types. */
  static Object from(Object value, int origin, int depth) {
    if (depth > Budget.MAX_VALUE_DEPTH) {
      throw new TemplateError("a variable is nested deeper than " + Budget.MAX_VALUE_DEPTH);
    }
    if (value instanceof Traced traced) {
      return from(traced.value(), traced.origin(), depth);
    }
    if (value instanceof CharSequence text) {
      return Str.of(text.toString(), origin);
    }
    if (value instanceof Map<?, ?> map) {
      Map<Object, Object> copy = new LinkedHashMap<>();
      map.forEach((k, v) -> copy.put(from(k, origin, depth + 1), from(v, origin, depth + 1)));
      return copy;
    }
    if (value instanceof Collection<?> list) {
      List<Object> copy = new ArrayList<>(list.size());
      list.forEach(item -> copy.add(from(item, origin, depth + 1)));
      return new Seq(copy, false);
    }
    return scalar(value);
  }

  private static Object scalar(Object value) {
    if (value == null || value instanceof Boolean) {
      return value;
    }
    if (value instanceof BigInteger big) {
      return integer(big);
    }
    if (value instanceof BigDecimal || value instanceof Double || value instanceof Float) {
      return ((Number) value).doubleValue();
    }
    if (value instanceof Number number) {
      return number.longValue();
    }
    throw new TemplateError(
        "a variable is a "
            + value.getClass().getSimpleName()
            + ", expected a map, list, string, number, boolean or null");
  }

  /** The int in its smallest form. */
  static Object integer(BigInteger value) {
    boolean fits = value.compareTo(MIN_LONG) >= 0 && value.compareTo(MAX_LONG) <= 0;
    return fits ? (Object) value.longValue() : value;
  }

  @SuppressWarnings("unchecked") // a template's maps are all made here, keyed by any value
  static Map<Object, Object> dict(Object value) {
    return (Map<Object, Object>) value;
  }

  static boolean isDict(Object value) {
    return value instanceof Map;
  }

  static boolean truth(Object value) {
    if (value == null || value instanceof Undefined) {
      return false;
    }
    if (value instanceof Boolean bool) {
      return bool;
    }
    if (value instanceof Str str) {
      return str.length() > 0;
    }
    if (value instanceof Long number) {
      return number != 0;
    }
    if (value instanceof Double number) {
      return number != 0;
    }
    if (value instanceof Map<?, ?> map) {
      return !map.isEmpty();
    }
    if (value instanceof Seq seq) {
      return !seq.items().isEmpty();
    }
    return true;
  }

  /** Python's name of the type, for messages. */
  static String typeName(Object value) {
    if (value == null) {
      return "NoneType";
    }
    if (value instanceof Boolean) {
      return "bool";
    }
    if (value instanceof Long || value instanceof BigInteger) {
      return "int";
    }
    if (value instanceof Double) {
      return "float";
    }
    if (value instanceof Str) {
      return "str";
    }
    if (value instanceof Map) {
      return "dict";
    }
    if (value instanceof Seq seq) {
      return seq.kind();
    }
    if (value instanceof Undefined) {
      return "Undefined";
    }
    return value instanceof Generator ? "generator" : value.getClass().getSimpleName();
  }

  /** The int, with booleans as 0 and 1. */
  static long toLong(Object value, String what) {
    if (value instanceof Boolean bool) {
      return bool ? 1 : 0;
    }
    if (value instanceof Long number) {
      return number;
    }
    if (value instanceof Undefined undefined) {
      throw undefined.error();
    }
    throw new TemplateError(what + " is a " + typeName(value) + ", expected an int");
  }

  static int toInt(Object value, String what) {
    long number = toLong(value, what);
    return (int) Math.max(Integer.MIN_VALUE + 1, Math.min(Integer.MAX_VALUE, number));
  }

  static Str toStr(Object value, String what) {
    if (value instanceof Str str) {
      return str;
    }
    if (value instanceof Undefined undefined) {
      throw undefined.error();
    }
    throw new TemplateError(what + " is a " + typeName(value) + ", expected a str");
  }
}
