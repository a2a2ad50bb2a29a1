package ai.nibble.data.jinja;

import java.util.HashMap;
import java.util.Map;

/** The filters by name: those on single values here, those on sequences beside. */
final class Filters {
  private static final Map<String, Filter> BY_NAME = byName();

  private Filters() {}

  /** The filter, or null. */
  static Filter named(String name) {
    return BY_NAME.get(name);
  }

  private static Map<String, Filter> byName() {
    Map<String, Filter> all = new HashMap<>(SequenceFilters.byName());
    all.put("tojson", JsonText::filter);
    all.put("default", Filters::defaulted);
    all.put("d", Filters::defaulted);
    all.put("string", (v, a, b) -> Printing.str(v, b));
    all.put("safe", (v, a, b) -> Printing.str(v, b).withMarkup(true));
    all.put("escape", (v, a, b) -> Printing.str(v, b).escaped());
    all.put("e", (v, a, b) -> Printing.str(v, b).escaped());
    all.put("forceescape", (v, a, b) -> Printing.str(v, b).forceEscaped());
    all.put("trim", (v, a, b) -> StringMethods.strip(Printing.str(v, b), a, true, true));
    all.put("upper", (v, a, b) -> StringMethods.upper(Printing.str(v, b)));
    all.put("lower", (v, a, b) -> StringMethods.lower(Printing.str(v, b)));
    all.put("capitalize", (v, a, b) -> StringMethods.capitalize(Printing.str(v, b)));
    all.put("title", Filters::title);
    all.put("center", Filters::center);
    all.put("replace", Filters::replace);
    all.put("format", Filters::format);
    all.put("indent", Filters::indent);
    all.put("truncate", Filters::truncate);
    all.put("wordcount", (v, a, b) -> Splitting.countWords(Printing.str(v, b)));
    all.put("int", Filters::toInt);
    all.put("float", Filters::toFloat);
    all.put("abs", Filters::abs);
    all.put("round", Filters::round);
    return Map.copyOf(all);
  }

  private static Object defaulted(Object value, Arguments arguments, Budget budget) {
    Object[] bound = arguments.bind("default", 0, "default_value", "boolean");
    boolean whenFalse = Values.truth(Arguments.or(bound[1], false));
    boolean missing = value instanceof Undefined || (whenFalse && !Values.truth(value));
    return missing ? Arguments.or(bound[0], Str.EMPTY) : value;
  }

  /** Unlike {@code str.title}, words begin after white space and {@code -([{<} only. */
  private static Object title(Object value, Arguments arguments, Budget budget) {
    Str s = Printing.str(value, budget);
    StringBuilder out = new StringBuilder(s.length());
    boolean start = true;
    for (int i = 0; i < s.length(); ) {
      int c = s.text().codePointAt(i);
      i += Character.charCount(c);
      String one = Character.toString(c);
      out.append(
          start ? one.toUpperCase(java.util.Locale.ROOT) : one.toLowerCase(java.util.Locale.ROOT));
      start = StringMethods.isSpace(c) || "-([{<".indexOf(c) >= 0;
    }
    return s.derive(out.toString());
  }

  private static Object center(Object value, Arguments arguments, Budget budget) {
    Object width = Arguments.or(arguments.bind("center", 0, "width")[0], 80L);
    return StringMethods.pad(Printing.str(value, budget), "center", Arguments.of(width));
  }

  private static Object replace(Object value, Arguments arguments, Budget budget) {
    Object[] bound = arguments.bind("replace", 2, "old", "new", "count");
    Object count = Arguments.or(bound[2], null);
    return StringMethods.replace(
        Printing.str(value, budget).withMarkup(false),
        Printing.str(bound[0], budget),
        Printing.str(bound[1], budget),
        count == null ? -1 : Values.toLong(count, "replace's count"),
        budget);
  }

  private static Object format(Object value, Arguments arguments, Budget budget) {
    Str format = Printing.str(value, budget);
    if (arguments.named().isEmpty()) {
      return PrintfFormat.format(format, arguments.positional(), null, budget);
    }
    Map<Object, Object> names = new HashMap<>();
    arguments.named().forEach((name, v) -> names.put(Str.of(name), v));
    return PrintfFormat.format(format, arguments.positional(), names, budget);
  }

  private static Object indent(Object value, Arguments arguments, Budget budget) {
    Object[] bound = arguments.bind("indent", 0, "width", "first", "blank");
    Object width = Arguments.or(bound[0], 4L);
    boolean first = Values.truth(Arguments.or(bound[1], false));
    boolean blank = Values.truth(Arguments.or(bound[2], false));
    int spaces = width instanceof Str ? 0 : Math.max(0, Values.toInt(width, "indent's width"));
    Budget.checkText(spaces);
    Str indention = width instanceof Str str ? str : Str.of(" ".repeat(spaces));
    // The newline appended here is what makes a last empty line count as one.
    Str given = Printing.str(value, budget);
    Str text = new StrBuilder().append(given).append("\n").build().withMarkup(given.isMarkup());
    StrBuilder out = new StrBuilder();
    int line = 0;
    for (Object each : Splitting.lines(text, Arguments.NONE).items()) {
      Str content = (Str) each;
      boolean pad = line == 0 ? first : blank || content.length() > 0;
      out.append(line > 0 ? "\n" : "").append(pad ? indention : Str.EMPTY).append(content);
      line++;
    }
    return out.build().withMarkup(text.isMarkup());
  }

  private static Object truncate(Object value, Arguments arguments, Budget budget) {
    Object[] bound = arguments.bind("truncate", 0, "length", "killwords", "end", "leeway");
    Str s = Printing.str(value, budget);
    int length = Values.toInt(Arguments.or(bound[0], 255L), "truncate's length");
    Str end = Printing.str(Arguments.or(bound[2], Str.of("...")), budget);
    int leeway = Values.toInt(Arguments.or(bound[3], 5L), "truncate's leeway");
    if (length < end.codePoints() || leeway < 0) {
      throw new TemplateError("expected length >= " + end.codePoints() + ", got " + length);
    }
    if (s.codePoints() <= (long) length + leeway) {
      return s;
    }
    Str head = s.slice(0, s.text().offsetByCodePoints(0, length - end.codePoints()));
    int lastSpace = head.text().lastIndexOf(' ');
    if (!Values.truth(Arguments.or(bound[1], false)) && lastSpace >= 0) {
      head = head.slice(0, lastSpace);
    }
    return new StrBuilder().append(head).append(end).build();
  }

  private static Object toInt(Object value, Arguments arguments, Budget budget) {
    Object[] bound = arguments.bind("int", 0, "default", "base");
    Object fallback = Arguments.or(bound[0], 0L);
    int base = Values.toInt(Arguments.or(bound[1], 10L), "int's base");
    return NumberParsing.toInt(value, fallback, base);
  }

  private static Object toFloat(Object value, Arguments arguments, Budget budget) {
    return NumberParsing.toFloat(
        value, Arguments.or(arguments.bind("float", 0, "default")[0], 0.0));
  }

  private static Object abs(Object value, Arguments arguments, Budget budget) {
    if (value instanceof Double number) {
      return Math.abs(number);
    }
    return Values.integer(Arithmetic.toBig(value).abs());
  }

  private static Object round(Object value, Arguments arguments, Budget budget) {
    Object[] bound = arguments.bind("round", 0, "precision", "method");
    int precision = Values.toInt(Arguments.or(bound[0], 0L), "round's precision");
    String method = Printing.str(Arguments.or(bound[1], Str.of("common")), budget).text();
    if (value instanceof Undefined undefined) {
      throw undefined.error();
    }
    if (!Arithmetic.isNumber(value)) {
      throw new TemplateError("round of a " + Values.typeName(value) + ", expected a number");
    }
    return NumberParsing.round(value, precision, method);
  }
}
