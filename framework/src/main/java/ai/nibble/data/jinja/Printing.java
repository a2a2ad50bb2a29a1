package ai.nibble.data.jinja;

import java.math.BigDecimal;
import java.math.MathContext;
import java.math.RoundingMode;
import java.util.Iterator;
import java.util.Map;

/** Python's {@code str()} and {@code repr()}. */
final class Printing {
  private Printing() {}

  static Str str(Object value, Budget budget) {
    if (value instanceof Str str) {
      return str;
    }
    if (value == null) {
      return Str.of("None");
    }
    if (value instanceof Undefined) {
      return Str.EMPTY;
    }
    return repr(value, budget);
  }

  static Str repr(Object value, Budget budget) {
    StrBuilder out = new StrBuilder();
    repr(value, out, budget, 0);
    return budget.made(out.build());
  }

  private static void repr(Object value, StrBuilder out, Budget budget, int depth) {
    if (depth > Budget.MAX_VALUE_DEPTH) {
      throw new TemplateError("a value is nested deeper than " + Budget.MAX_VALUE_DEPTH);
    }
    budget.work(8);
    if (value == null) {
      out.append("None");
    } else if (value instanceof Boolean bool) {
      out.append(bool ? "True" : "False");
    } else if (value instanceof Double number) {
      out.append(floating(number));
    } else if (value instanceof Str str) {
      quoted(str, out);
    } else if (value instanceof Seq seq) {
      sequence(seq, out, budget, depth);
    } else if (value instanceof Map) {
      out.append("{");
      String separator = "";
      for (Map.Entry<Object, Object> entry : Values.dict(value).entrySet()) {
        out.append(separator);
        repr(entry.getKey(), out, budget, depth + 1);
        out.append(": ");
        repr(entry.getValue(), out, budget, depth + 1);
        separator = ", ";
      }
      out.append("}");
    } else if (value instanceof Undefined) {
      out.append("Undefined");
    } else if (value instanceof Number) {
      out.append(value.toString());
    } else {
      out.append("<" + Values.typeName(value) + " object>");
    }
  }

  private static void sequence(Seq seq, StrBuilder out, Budget budget, int depth) {
    if (seq.kind().equals("range")) {
      range(seq, out);
      return;
    }
    boolean view = !seq.isList() && !seq.isTuple();
    out.append(view ? seq.kind() + "([" : seq.isTuple() ? "(" : "[");
    for (Iterator<Object> items = seq.items().iterator(); items.hasNext(); ) {
      repr(items.next(), out, budget, depth + 1);
      out.append(items.hasNext() ? ", " : "");
    }
    boolean single = seq.isTuple() && seq.items().size() == 1;
    out.append(view ? "])" : seq.isTuple() ? (single ? ",)" : ")") : "]");
  }

  private static void range(Seq seq, StrBuilder out) {
    Range range = (Range) seq.items();
    String step = range.step() == 1 ? "" : ", " + range.step();
    out.append("range(" + range.start() + ", " + range.stop() + step + ")");
  }

  /** The shortest digits that read back as the same double, in Python's notation. */
  static String floating(double value) {
    if (Double.isNaN(value)) {
      return "nan";
    }
    if (Double.isInfinite(value)) {
      return value > 0 ? "inf" : "-inf";
    }
    if (value == 0) {
      return 1 / value < 0 ? "-0.0" : "0.0";
    }
    BigDecimal exact = new BigDecimal(value);
    BigDecimal digits = exact;
    for (int n = 1; n <= 17; n++) {
      digits = exact.round(new MathContext(n, RoundingMode.HALF_EVEN));
      if (digits.doubleValue() == value) {
        break;
      }
    }
    digits = digits.stripTrailingZeros();
    int exponent = digits.precision() - digits.scale() - 1;
    if (exponent >= -4 && exponent < 16) {
      String plain = digits.toPlainString();
      return plain.contains(".") ? plain : plain + ".0";
    }
    String unscaled = digits.unscaledValue().abs().toString();
    String fraction = unscaled.length() > 1 ? "." + unscaled.substring(1) : "";
    String power = (exponent < 0 ? "-" : "+") + (Math.abs(exponent) < 10 ? "0" : "");
    return (value < 0 ? "-" : "")
        + unscaled.charAt(0)
        + fraction
        + "e"
        + power
        + Math.abs(exponent);
  }

  private static void quoted(Str str, StrBuilder out) {
    String text = str.text();
    boolean doubles = text.indexOf('\'') >= 0 && text.indexOf('"') < 0;
    char quote = doubles ? '"' : '\'';
    out.append(String.valueOf(quote));
    out.append(
        str.mapRuns(
            run -> {
              StringBuilder escaped = new StringBuilder(run.length());
              run.codePoints().forEach(c -> escape(c, quote, escaped));
              return escaped.toString();
            }));
    out.append(String.valueOf(quote));
  }

  private static void escape(int c, char quote, StringBuilder out) {
    switch (c) {
      case '\n' -> out.append("\\n");
      case '\r' -> out.append("\\r");
      case '\t' -> out.append("\\t");
      case '\\' -> out.append("\\\\");
      default -> {
        if (c == quote) {
          out.append('\\').append(quote);
        } else if (isPrintable(c)) {
          out.appendCodePoint(c);
        } else {
          String format = c < 0x100 ? "\\x%02x" : c < 0x10000 ? "\\u%04x" : "\\U%08x";
          out.append(String.format(format, c));
        }
      }
    }
  }

  private static boolean isPrintable(int c) {
    if (c == ' ') {
      return true;
    }
    return switch (Character.getType(c)) {
      case Character.CONTROL,
          Character.FORMAT,
          Character.SURROGATE,
          Character.PRIVATE_USE,
          Character.UNASSIGNED,
          Character.LINE_SEPARATOR,
          Character.PARAGRAPH_SEPARATOR,
          Character.SPACE_SEPARATOR ->
          false;
      default -> true;
    };
  }
}
