package ai.nibble.data.jinja;

import java.math.BigInteger;
import java.util.ArrayList;
import java.util.List;

/** Python's {@code + - * / // % **} on numbers, strings and lists. */
final class Arithmetic {
  // An int may grow this far; enough for every identifier and hash a row could carry.
  private static final int MAX_BITS = 4096;

  private Arithmetic() {}

  static Object apply(String op, Object a, Object b, Budget budget) {
    if (a instanceof Undefined undefined) {
      throw undefined.error();
    }
    if (b instanceof Undefined undefined && !(op.equals("%") && a instanceof Str)) {
      throw undefined.error();
    }
    if (isNumber(a) && isNumber(b)) {
      return a instanceof Double || b instanceof Double
          ? floats(op, toDouble(a), toDouble(b))
          : integers(op, toBig(a), toBig(b), a, b);
    }
    Object result = onSequences(op, a, b, budget);
    if (result != null) {
      return result;
    }
    if (op.equals("+") && (a instanceof Str || a instanceof Seq)) {
      throw new TemplateError(
          "can only concatenate "
              + Values.typeName(a)
              + " (not \""
              + Values.typeName(b)
              + "\") to "
              + Values.typeName(a));
    }
    throw new TemplateError(
        "unsupported operand types for "
            + op
            + ": '"
            + Values.typeName(a)
            + "' and '"
            + Values.typeName(b)
            + "'");
  }

  private static Object onSequences(String op, Object a, Object b, Budget budget) {
    switch (op) {
      case "+":
        if (a instanceof Str left && b instanceof Str right) {
          return budget.made(concat(left, right));
        }
        if (a instanceof Seq left && b instanceof Seq right && left.kind().equals(right.kind())) {
          return left.isList() || left.isTuple() ? concat(left, right, budget) : null;
        }
        return null;
      case "*":
        if (isInteger(b) && (a instanceof Str || a instanceof Seq)) {
          return repeat(a, Values.toLong(b, "the factor"), budget);
        }
        if (isInteger(a) && (b instanceof Str || b instanceof Seq)) {
          return repeat(b, Values.toLong(a, "the factor"), budget);
        }
        return null;
      case "%":
        return a instanceof Str format ? formatted(format, b, budget) : null;
      default:
        return null;
    }
  }

  private static Str formatted(Str format, Object b, Budget budget) {
    List<Object> values =
        b instanceof Seq seq && seq.isTuple()
            ? seq.items()
            : java.util.Collections.singletonList(b);
    return budget.made(PrintfFormat.format(format, values, b, budget));
  }

  private static Str concat(Str a, Str b) {
    boolean markup = a.isMarkup() || b.isMarkup();
    if (a.length() == 0 && !markup) {
      return b;
    }
    return new StrBuilder()
        .append(markup ? a.escaped() : a)
        .append(markup ? b.escaped() : b)
        .build()
        .withMarkup(markup);
  }

  private static Seq concat(Seq a, Seq b, Budget budget) {
    Budget.checkList((long) a.items().size() + b.items().size());
    List<Object> joined = new ArrayList<>(a.items());
    joined.addAll(b.items());
    return budget.made(new Seq(joined, a.kind()));
  }

  private static Object repeat(Object value, long times, Budget budget) {
    long n = Math.max(0, times);
    if (value instanceof Str str) {
      Budget.checkText(times(str.length(), n));
      if (str.runs() == 1) {
        return budget.made(
            Str.of(str.text().repeat((int) (str.length() == 0 ? 0 : n)), str.runOrigin(0))
                .withMarkup(str.isMarkup()));
      }
      StrBuilder out = new StrBuilder();
      for (long i = 0; i < n; i++) {
        out.append(str);
      }
      return budget.made(out.build());
    }
    Seq seq = (Seq) value;
    Budget.checkList(times(seq.items().size(), n));
    List<Object> items = new ArrayList<>();
    for (long i = 0; i < n && !seq.items().isEmpty(); i++) {
      items.addAll(seq.items());
    }
    return budget.made(new Seq(items, seq.kind()));
  }

  /** Saturates, so that a huge factor cannot wrap to a small size. */
  private static long times(int length, long n) {
    return length == 0 ? 0 : n > Long.MAX_VALUE / length ? Long.MAX_VALUE : n * length;
  }

  private static Object integers(String op, BigInteger x, BigInteger y, Object a, Object b) {
    switch (op) {
      case "+":
        return bounded(x.add(y));
      case "-":
        return bounded(x.subtract(y));
      case "*":
        return bounded(x.multiply(y));
      case "/":
        return floats(op, toDouble(a), toDouble(b));
      case "//":
      case "%":
        if (y.signum() == 0) {
          throw new TemplateError("integer division or modulo by zero");
        }
        BigInteger[] qr = x.divideAndRemainder(y);
        // Python rounds down and its remainder has the divisor's sign.
        boolean down = qr[1].signum() != 0 && qr[1].signum() != y.signum();
        return op.equals("//")
            ? Values.integer(down ? qr[0].subtract(BigInteger.ONE) : qr[0])
            : Values.integer(down ? qr[1].add(y) : qr[1]);
      case "**":
        if (y.signum() < 0) {
          return floats(op, toDouble(a), toDouble(b));
        }
        boolean trivial = x.bitLength() <= 1 && x.abs().compareTo(BigInteger.ONE) <= 0;
        if (!trivial && (y.bitLength() > 12 || (long) x.bitLength() * y.intValue() > MAX_BITS)) {
          throw new TemplateError("an int would exceed " + MAX_BITS + " bits");
        }
        return trivial ? smallPower(x, y) : bounded(x.pow(y.intValue()));
      default:
        throw new TemplateError("unknown operator " + op);
    }
  }

  /** Of −1, 0 and 1, to any power. */
  private static Object smallPower(BigInteger x, BigInteger y) {
    if (y.signum() == 0) {
      return 1L;
    }
    return Values.integer(x.signum() < 0 && !y.testBit(0) ? BigInteger.ONE : x);
  }

  private static Object bounded(BigInteger value) {
    if (value.bitLength() > MAX_BITS) {
      throw new TemplateError("an int would exceed " + MAX_BITS + " bits");
    }
    return Values.integer(value);
  }

  private static double floats(String op, double x, double y) {
    if (y == 0 && (op.equals("/") || op.equals("//") || op.equals("%"))) {
      throw new TemplateError("division by zero");
    }
    return switch (op) {
      case "+" -> x + y;
      case "-" -> x - y;
      case "*" -> x * y;
      case "/" -> x / y;
      case "//" -> Math.floor(x / y);
      case "%" -> {
        double r = x % y;
        yield r != 0 && (r < 0) != (y < 0) ? r + y : r;
      }
      case "**" -> power(x, y);
      default -> throw new TemplateError("unknown operator " + op);
    };
  }

  private static double power(double x, double y) {
    if (x == 0 && y < 0) {
      throw new TemplateError("0.0 cannot be raised to a negative power");
    }
    double result = Math.pow(x, y);
    if (Double.isInfinite(result) && !Double.isInfinite(x) && !Double.isInfinite(y)) {
      throw new TemplateError("a float is out of range");
    }
    return result;
  }

  static Object negate(Object value) {
    if (value instanceof Double number) {
      return -number;
    }
    if (isInteger(value)) {
      return Values.integer(toBig(value).negate());
    }
    throw badUnary("-", value);
  }

  static Object plus(Object value) {
    if (value instanceof Double) {
      return value;
    }
    if (isInteger(value)) {
      return Values.integer(toBig(value));
    }
    throw badUnary("+", value);
  }

  private static TemplateError badUnary(String op, Object value) {
    return value instanceof Undefined undefined
        ? undefined.error()
        : new TemplateError(
            "bad operand type for unary " + op + ": '" + Values.typeName(value) + "'");
  }

  static boolean isInteger(Object value) {
    return value instanceof Long || value instanceof Boolean || value instanceof BigInteger;
  }

  static boolean isNumber(Object value) {
    return value instanceof Double || isInteger(value);
  }

  static BigInteger toBig(Object value) {
    return value instanceof BigInteger big
        ? big
        : BigInteger.valueOf(Values.toLong(value, "operand"));
  }

  static double toDouble(Object value) {
    return value instanceof Double number ? number : toBig(value).doubleValue();
  }
}
