package ai.nibble.data.jinja;

import java.util.Locale;
import java.util.function.IntPredicate;

/** Python's methods of {@code str} that templates use. */
final class StringMethods {
  private StringMethods() {}

  /** The bound method, or null where a string has none of that name. */
  static Callable bind(Str s, String name) {
    return switch (name) {
      case "strip" -> (a, budget) -> budget.made(strip(s, a, true, true));
      case "lstrip" -> (a, budget) -> budget.made(strip(s, a, true, false));
      case "rstrip" -> (a, budget) -> budget.made(strip(s, a, false, true));
      case "split" -> (a, budget) -> budget.made(Splitting.split(s, a, budget));
      case "rsplit" -> (a, budget) -> budget.made(Splitting.rsplit(s, a, budget));
      case "splitlines" -> (a, budget) -> budget.made(Splitting.lines(s, a));
      case "partition" -> (a, budget) -> Splitting.partition(s, a, false, budget);
      case "rpartition" -> (a, budget) -> Splitting.partition(s, a, true, budget);
      case "startswith" -> (a, budget) -> affix(s, a, true, budget);
      case "endswith" -> (a, budget) -> affix(s, a, false, budget);
      case "removeprefix" -> (a, budget) -> remove(s, a, true);
      case "removesuffix" -> (a, budget) -> remove(s, a, false);
      case "replace" ->
          (a, budget) -> {
            Object[] bound = a.bind("replace", 2, "old", "new", "count");
            long count = Values.toLong(Arguments.or(bound[2], -1L), "replace's count");
            Str old = Values.toStr(bound[0], "replace's old");
            return replace(s, old, Values.toStr(bound[1], "replace's new"), count, budget);
          };
      case "join" -> (a, budget) -> join(s, a.bind("join", 1, "iterable")[0], budget);
      case "format" -> (a, budget) -> budget.made(BraceFormat.format(s, a, budget));
      case "find", "index", "rfind", "count" -> (a, budget) -> search(s, name, a, budget);
      case "zfill", "ljust", "rjust", "center" -> (a, budget) -> budget.made(pad(s, name, a));
      default -> bindMapping(s, name);
    };
  }

  private static Callable bindMapping(Str s, String name) {
    return switch (name) {
      case "upper" -> (a, budget) -> budget.made(upper(s));
      case "lower", "casefold" -> (a, budget) -> budget.made(lower(s));
      case "title" -> (a, budget) -> budget.made(title(s));
      case "capitalize" -> (a, budget) -> budget.made(capitalize(s));
      case "isdigit", "isdecimal", "isnumeric" -> (a, budget) -> all(s, Character::isDigit);
      case "isalpha" -> (a, budget) -> all(s, Character::isLetter);
      case "isalnum" -> (a, budget) -> all(s, Character::isLetterOrDigit);
      case "isspace" -> (a, budget) -> all(s, StringMethods::isSpace);
      case "isupper" ->
          (a, budget) -> s.text().equals(upper(s).text()) && !s.text().equals(lower(s).text());
      case "islower" ->
          (a, budget) -> s.text().equals(lower(s).text()) && !s.text().equals(upper(s).text());
      default -> null;
    };
  }

  private static boolean all(Str s, IntPredicate test) {
    return s.length() > 0 && s.text().codePoints().allMatch(test);
  }

  static Str upper(Str s) {
    return s.mapRuns(run -> run.toUpperCase(Locale.ROOT));
  }

  static Str lower(Str s) {
    return s.mapRuns(run -> run.toLowerCase(Locale.ROOT));
  }

  static Str capitalize(Str s) {
    if (s.length() == 0) {
      return s;
    }
    int first = Character.charCount(s.text().codePointAt(0));
    String head = titleCase(s.text().codePointAt(0));
    return s.derive(head + s.text().substring(first).toLowerCase(Locale.ROOT));
  }

  /** Every letter after something that is no cased letter becomes a title-case one. */
  static Str title(Str s) {
    StringBuilder out = new StringBuilder(s.length());
    boolean inWord = false;
    for (int i = 0; i < s.length(); ) {
      int c = s.text().codePointAt(i);
      i += Character.charCount(c);
      boolean cased =
          Character.isUpperCase(c) || Character.isLowerCase(c) || Character.isTitleCase(c);
      if (!cased) {
        out.appendCodePoint(c);
      } else {
        out.append(inWord ? Character.toString(c).toLowerCase(Locale.ROOT) : titleCase(c));
      }
      inWord = cased;
    }
    return s.derive(out.toString());
  }

  private static String titleCase(int c) {
    int title = Character.toTitleCase(c);
    // Letters such as the sharp s have a title case only as several characters.
    String upper = Character.toString(c).toUpperCase(Locale.ROOT);
    return title == c && upper.codePointCount(0, upper.length()) > 1
        ? upper.substring(0, 1) + upper.substring(1).toLowerCase(Locale.ROOT)
        : Character.toString(title);
  }

  /** Python's white space, wider than Java's: no-break spaces and 1C to 1F count. */
  static boolean isSpace(int c) {
    return (c >= 0x09 && c <= 0x0d)
        || (c >= 0x1c && c <= 0x20)
        || c == 0x85
        || c == 0xa0
        || (c > 0xff && Character.isSpaceChar(c));
  }

  static Str strip(Str s, Arguments arguments, boolean left, boolean right) {
    Object chars = Arguments.or(arguments.bind("strip", 0, "chars")[0], null);
    IntPredicate drop = StringMethods::isSpace;
    if (chars != null) {
      String set = Values.toStr(chars, "strip's characters").text();
      if (set.length() > 1000) {
        throw new TemplateError("strip of " + set.length() + " different characters");
      }
      drop = c -> set.indexOf(c) >= 0;
    }
    int from = 0;
    int to = s.length();
    while (left && from < to && drop.test(s.text().codePointAt(from))) {
      from = s.text().offsetByCodePoints(from, 1);
    }
    while (right && to > from && drop.test(s.text().codePointBefore(to))) {
      to = s.text().offsetByCodePoints(to, -1);
    }
    return s.slice(from, to);
  }

  private static boolean affix(Str s, Arguments arguments, boolean start, Budget budget) {
    String name = start ? "startswith" : "endswith";
    Object[] bound = arguments.bind(name, 1, "affix", "start", "end");
    Object begin = Arguments.or(bound[1], null);
    Object end = Arguments.or(bound[2], null);
    Str part =
        begin == null && end == null ? s : (Str) Sequences.slice(s, begin, end, null, budget);
    if (bound[0] instanceof Seq seq && seq.isTuple()) {
      return seq.items().stream().anyMatch(item -> affix(part, item, start));
    }
    return affix(part, bound[0], start);
  }

  private static boolean affix(Str s, Object affix, boolean start) {
    String text = Values.toStr(affix, start ? "a prefix" : "a suffix").text();
    return start ? s.text().startsWith(text) : s.text().endsWith(text);
  }

  private static Str remove(Str s, Arguments arguments, boolean start) {
    Str affix = Values.toStr(arguments.bind("remove", 1, "affix")[0], "an affix");
    if (!affix(s, affix, start)) {
      return s;
    }
    return start ? s.slice(affix.length(), s.length()) : s.slice(0, s.length() - affix.length());
  }

  /** At most {@code count} replacements, all where it is negative. */
  static Str replace(Str s, Str old, Str with, long count, Budget budget) {
    budget.search(s.length(), old.length());
    if (s.isMarkup()) {
      return replace(s.withMarkup(false), old, with.escaped().withMarkup(false), count, budget)
          .withMarkup(true);
    }
    StrBuilder out = new StrBuilder();
    long left = count < 0 ? Long.MAX_VALUE : count;
    int from = 0;
    if (old.length() == 0) {
      // Python inserts before every character and at the end.
      while (left-- > 0) {
        out.append(with);
        if (from == s.length()) {
          return budget.made(out.build());
        }
        int next = s.text().offsetByCodePoints(from, 1);
        out.append(s.slice(from, next));
        from = next;
      }
      return budget.made(out.append(s.slice(from, s.length())).build());
    }
    for (int at; left > 0 && (at = s.text().indexOf(old.text(), from)) >= 0; left--) {
      out.append(s.slice(from, at)).append(with);
      from = at + old.length();
    }
    return from == 0 ? s : budget.made(out.append(s.slice(from, s.length())).build());
  }

  private static Str join(Str separator, Object iterable, Budget budget) {
    StrBuilder out = new StrBuilder();
    boolean first = true;
    for (var items = Sequences.iterate(iterable, budget); items.hasNext(); first = false) {
      if (!first) {
        out.append(separator);
      }
      Str item = Values.toStr(items.next(), "an item to join");
      out.append(separator.isMarkup() ? item.escaped() : item);
      budget.work(8);
    }
    return budget.made(out.build().withMarkup(separator.isMarkup()));
  }

  private static Object search(Str s, String name, Arguments arguments, Budget budget) {
    Object[] bound = arguments.bind(name, 1, "sub", "start", "end");
    String sub = Values.toStr(bound[0], name + "'s argument").text();
    int n = s.codePoints();
    long start = bound(Arguments.or(bound[1], null), 0, n);
    long end = bound(Arguments.or(bound[2], null), n, n);
    budget.search(s.length(), sub.length());
    int from = s.text().offsetByCodePoints(0, (int) start);
    String part =
        start > end ? null : s.text().substring(from, s.text().offsetByCodePoints(0, (int) end));
    if (name.equals("count")) {
      return part == null ? 0L : count(part, sub);
    }
    int at = part == null ? -1 : name.equals("rfind") ? part.lastIndexOf(sub) : part.indexOf(sub);
    if (at < 0 && name.equals("index")) {
      throw new TemplateError("substring not found");
    }
    return at < 0 ? -1L : start + part.codePointCount(0, at);
  }

  private static long bound(Object bound, long fallback, int n) {
    if (bound == null) {
      return fallback;
    }
    long at = Values.toLong(bound, "a bound");
    return Math.max(0, Math.min(n, at < 0 ? at + n : at));
  }

  private static long count(String text, String sub) {
    if (sub.isEmpty()) {
      return text.codePointCount(0, text.length()) + 1L;
    }
    long count = 0;
    for (int at = text.indexOf(sub); at >= 0; at = text.indexOf(sub, at + sub.length())) {
      count++;
    }
    return count;
  }

  static Str pad(Str s, String how, Arguments arguments) {
    Object[] bound = arguments.bind(how, 1, "width", "fillchar");
    int missing = Math.max(0, Values.toInt(bound[0], how + "'s width") - s.codePoints());
    Budget.checkText((long) s.length() + missing);
    String fill = Values.toStr(Arguments.or(bound[1], Str.of(" ")), "fillchar").text();
    if (fill.codePointCount(0, fill.length()) != 1) {
      throw new TemplateError("the fill character must be exactly one character long");
    }
    if (how.equals("zfill")) {
      boolean signed = s.text().startsWith("-") || s.text().startsWith("+");
      int sign = signed ? 1 : 0;
      return new StrBuilder()
          .append(s.slice(0, sign))
          .append("0".repeat(missing))
          .append(s.slice(sign, s.length()))
          .build();
    }
    // Of an odd remainder, CPython's center puts the extra one left when the width is odd too.
    int width = missing + s.codePoints();
    int left =
        switch (how) {
          case "ljust" -> 0;
          case "rjust" -> missing;
          default -> missing / 2 + (missing & width & 1);
        };
    return new StrBuilder()
        .append(fill.repeat(left))
        .append(s)
        .append(fill.repeat(missing - left))
        .build();
  }
}
