package ai.nibble.data.jinja;

import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Python's {@code "…" % values}. */
final class PrintfFormat {
  private static final Pattern SPEC =
      Pattern.compile("%(?:\\(([^)]*)\\))?([-+ 0#]*)(\\d*)(?:\\.(\\d*))?([a-zA-Z%])");

  private PrintfFormat() {}

  /**
   * @param values in the order of the specifiers
   * @param mapping a dict for {@code %(name)s}, or anything else
   */
  static Str format(Str format, List<Object> values, Object mapping, Budget budget) {
    String text = format.text();
    StrBuilder out = new StrBuilder();
    Matcher spec = SPEC.matcher(text);
    int used = 0;
    int from = 0;
    for (int at = text.indexOf('%'); at >= 0; at = text.indexOf('%', from)) {
      out.append(format.slice(from, at));
      if (!spec.find(at) || spec.start() != at) {
        throw new TemplateError("incomplete or unsupported format in '" + text + "'");
      }
      from = spec.end();
      if (spec.group(5).equals("%")) {
        out.append("%");
        continue;
      }
      Object value;
      if (spec.group(1) != null) {
        value = named(mapping, spec.group(1));
      } else if (used < values.size()) {
        value = values.get(used++);
      } else {
        throw new TemplateError("not enough arguments for format string");
      }
      Str part = one(spec, value, budget);
      out.append(format.isMarkup() ? part.escaped() : part);
    }
    if (used < values.size() && !(mapping instanceof Map)) {
      throw new TemplateError("not all arguments converted during string formatting");
    }
    return out.append(format.slice(from, format.length())).build().withMarkup(format.isMarkup());
  }

  private static Object named(Object mapping, String name) {
    if (!(mapping instanceof Map)) {
      throw new TemplateError("format requires a mapping");
    }
    Map<Object, Object> dict = Values.dict(mapping);
    if (!dict.containsKey(Str.of(name))) {
      throw new TemplateError("the format names '" + name + "', which is not given");
    }
    return dict.get(Str.of(name));
  }

  private static Str one(Matcher spec, Object value, Budget budget) {
    String flags = spec.group(2);
    int width = NumberFormat.size(spec.group(3));
    int precision = spec.group(4) == null ? -1 : NumberFormat.size(spec.group(4));
    char type = spec.group(5).charAt(0);
    Str text =
        switch (type) {
          case 's' -> cut(Printing.str(value, budget), precision);
          case 'r', 'a' -> cut(Printing.repr(value, budget), precision);
          case 'd', 'i', 'u', 'x', 'X', 'o', 'f', 'F', 'e', 'g' ->
              Str.of(number(type, value, precision, flags));
          case 'c' -> Values.toStr(value, "%c's value");
          default -> throw new TemplateError("unsupported format character '" + type + "'");
        };
    boolean numeric = "diuxXofFeg".indexOf(type) >= 0;
    boolean left = flags.contains("-");
    boolean zeros = numeric && flags.contains("0") && !left;
    return NumberFormat.pad(text, width, left ? '<' : zeros ? '=' : '>', zeros ? "0" : " ");
  }

  private static Str cut(Str text, int precision) {
    return precision < 0 || precision >= text.codePoints()
        ? text
        : text.slice(0, text.text().offsetByCodePoints(0, precision));
  }

  private static String number(char type, Object value, int precision, String flags) {
    if (!Arithmetic.isNumber(value)) {
      throw new TemplateError(
          "%" + type + " format: a real number is required, not " + Values.typeName(value));
    }
    int digits = precision < 0 ? 6 : precision;
    String text =
        switch (type) {
          case 'f', 'F' -> NumberFormat.fixed(Arithmetic.toDouble(value), digits);
          case 'e' -> NumberFormat.exponent(Arithmetic.toDouble(value), digits);
          case 'g' -> Printing.floating(Arithmetic.toDouble(value)).replaceAll("\\.0$", "");
          default ->
              NumberFormat.radix(
                  value instanceof Double number
                      ? Values.integer(new java.math.BigDecimal(number).toBigInteger())
                      : value,
                  type);
        };
    boolean sign = !text.startsWith("-") && flags.contains("+");
    return sign ? "+" + text : text;
  }
}
