package ai.nibble.data.jinja;

import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Python's {@code "…".format(…)}: positions, names, keys and indices, and the usual specs. */
final class BraceFormat {
  private static final Pattern SPEC =
      Pattern.compile(
          "(?:(.)?([<>^=]))?([-+ ]?)(0?)(\\d*)(,?)(?:\\.(\\d+))?([a-zA-Z%]?)", Pattern.DOTALL);
  private static final Pattern STEP = Pattern.compile("\\.([^.\\[]+)|\\[([^\\]]+)\\]");

  private BraceFormat() {}

  static Str format(Str format, Arguments arguments, Budget budget) {
    String text = format.text();
    StrBuilder out = new StrBuilder();
    int automatic = 0;
    int i = 0;
    while (i < text.length()) {
      char c = text.charAt(i);
      boolean doubled = i + 1 < text.length() && text.charAt(i + 1) == c;
      if (c != '{' && c != '}') {
        int next = i;
        while (next < text.length() && text.charAt(next) != '{' && text.charAt(next) != '}') {
          next++;
        }
        out.append(format.slice(i, next));
        i = next;
      } else if (doubled) {
        out.append(format.slice(i, i + 1));
        i += 2;
      } else {
        int end = text.indexOf('}', i);
        if (c == '}' || end < 0) {
          throw new TemplateError("Single '" + c + "' encountered in format string");
        }
        String field = text.substring(i + 1, end);
        boolean unnamed = field.isEmpty() || field.startsWith(":") || field.startsWith("!");
        Str value = field(unnamed ? automatic++ + field : field, arguments, budget);
        out.append(format.isMarkup() ? value.escaped() : value);
        i = end + 1;
      }
    }
    return out.build().withMarkup(format.isMarkup());
  }

  private static Str field(String field, Arguments arguments, Budget budget) {
    int colon = field.indexOf(':');
    String head = colon < 0 ? field : field.substring(0, colon);
    String spec = colon < 0 ? "" : field.substring(colon + 1);
    int bang = head.indexOf('!');
    Object value = lookUp(bang < 0 ? head : head.substring(0, bang), arguments, budget);
    if (value instanceof Undefined undefined && !spec.isEmpty()) {
      throw undefined.error();
    }
    if (bang >= 0) {
      value = head.endsWith("!r") ? Printing.repr(value, budget) : Printing.str(value, budget);
    }
    return apply(spec, value, budget);
  }

  private static Object lookUp(String path, Arguments arguments, Budget budget) {
    int end = 0;
    while (end < path.length() && path.charAt(end) != '.' && path.charAt(end) != '[') {
      end++;
    }
    String name = path.substring(0, end);
    Object value;
    if (name.matches("\\d{1,9}")) {
      int index = Integer.parseInt(name);
      if (index >= arguments.positional().size()) {
        throw new TemplateError("format() has no argument " + index);
      }
      value = arguments.positional().get(index);
    } else if (arguments.named().containsKey(name)) {
      value = arguments.named().get(name);
    } else {
      throw new TemplateError("format() has no argument '" + name + "'");
    }
    Matcher step = STEP.matcher(path);
    for (int at = end; at < path.length(); at = step.end()) {
      if (!step.find(at) || step.start() != at) {
        throw new TemplateError("format() cannot read the field '" + path + "'");
      }
      boolean attribute = step.group(1) != null;
      String key = attribute ? step.group(1) : step.group(2);
      Object index =
          !attribute && key.matches("\\d{1,9}") ? (Object) Long.valueOf(key) : Str.of(key);
      value =
          attribute
              ? Attributes.get(value, Str.of(key), budget)
              : Attributes.item(value, index, budget);
    }
    return value;
  }

  private static Str apply(String spec, Object value, Budget budget) {
    if (spec.isEmpty()) {
      return Printing.str(value, budget);
    }
    Matcher m = SPEC.matcher(spec);
    if (!m.matches()) {
      throw new TemplateError("Invalid format specifier '" + spec + "'");
    }
    boolean numeric =
        Arithmetic.isNumber(value) && !(value instanceof Boolean && m.group(8).isEmpty());
    Str text = numeric ? Str.of(number(m, value)) : text(m, value, budget);
    boolean zeros = !m.group(4).isEmpty() && m.group(2) == null;
    char align = m.group(2) != null ? m.group(2).charAt(0) : zeros ? '=' : numeric ? '>' : '<';
    String fill = m.group(1) != null ? m.group(1) : zeros ? "0" : " ";
    return NumberFormat.pad(text, NumberFormat.size(m.group(5)), align, fill);
  }

  private static Str text(Matcher m, Object value, Budget budget) {
    if (!m.group(8).isEmpty() && !m.group(8).equals("s")) {
      throw new TemplateError(
          "Unknown format code '" + m.group(8) + "' for '" + Values.typeName(value) + "'");
    }
    Str text = Printing.str(value, budget);
    int precision = m.group(7) == null ? Integer.MAX_VALUE : NumberFormat.size(m.group(7));
    return precision >= text.codePoints()
        ? text
        : text.slice(0, text.text().offsetByCodePoints(0, precision));
  }

  private static String number(Matcher m, Object value) {
    char type = m.group(8).isEmpty() ? (value instanceof Double ? 'r' : 'd') : m.group(8).charAt(0);
    int precision = m.group(7) == null ? 6 : NumberFormat.size(m.group(7));
    if (type == 'r' && m.group(7) != null) {
      throw new TemplateError("a precision needs a type, as in {:.2f}");
    }
    String text =
        switch (type) {
          case 'r', 'g' -> Printing.floating(Arithmetic.toDouble(value));
          case 'f', 'F' -> NumberFormat.fixed(Arithmetic.toDouble(value), precision);
          case 'e' -> NumberFormat.exponent(Arithmetic.toDouble(value), precision);
          case '%' -> NumberFormat.fixed(Arithmetic.toDouble(value) * 100, precision) + "%";
          case 'd', 'x', 'X', 'o', 'b' -> {
            if (value instanceof Double) {
              throw new TemplateError("Unknown format code '" + type + "' for 'float'");
            }
            yield NumberFormat.radix(value, type);
          }
          default -> throw new TemplateError("Unknown format code '" + type + "'");
        };
    String grouped = m.group(6).isEmpty() ? text : NumberFormat.grouped(text);
    boolean sign = !grouped.startsWith("-") && !m.group(3).isEmpty() && !m.group(3).equals("-");
    return sign ? m.group(3) + grouped : grouped;
  }
}
