package ai.nibble.data.jinja;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;

/** Python's {@code split}, {@code rsplit}, {@code splitlines} and {@code partition}. */
final class Splitting {
  private Splitting() {}

  static Seq split(Str s, Arguments arguments, Budget budget) {
    Object[] bound = arguments.bind("split", 0, "sep", "maxsplit");
    long max = limit(bound[1]);
    Object separator = Arguments.or(bound[0], null);
    return Seq.list(
        separator == null ? words(s, max) : bySeparator(s, separator(separator), max, budget));
  }

  static Seq rsplit(Str s, Arguments arguments, Budget budget) {
    Object[] bound = arguments.bind("rsplit", 0, "sep", "maxsplit");
    long max = limit(bound[1]);
    Object separator = Arguments.or(bound[0], null);
    List<Object> parts =
        separator == null
            ? wordsFromRight(s, max)
            : fromRight(s, separator(separator), max, budget);
    Collections.reverse(parts);
    return Seq.list(parts);
  }

  private static long limit(Object max) {
    long limit = Values.toLong(Arguments.or(max, -1L), "maxsplit");
    return limit < 0 ? Long.MAX_VALUE : limit;
  }

  private static String separator(Object separator) {
    String text = Values.toStr(separator, "the separator").text();
    if (text.isEmpty()) {
      throw new TemplateError("empty separator");
    }
    return text;
  }

  private static List<Object> bySeparator(Str s, String separator, long max, Budget budget) {
    budget.search(s.length(), separator.length());
    List<Object> parts = new ArrayList<>();
    int from = 0;
    int at = s.text().indexOf(separator);
    while (at >= 0 && parts.size() < max) {
      Budget.checkList(parts.size() + 1L);
      parts.add(s.slice(from, at));
      from = at + separator.length();
      at = s.text().indexOf(separator, from);
    }
    parts.add(s.slice(from, s.length()));
    return parts;
  }

  private static List<Object> fromRight(Str s, String separator, long max, Budget budget) {
    budget.search(s.length(), separator.length());
    List<Object> parts = new ArrayList<>();
    int to = s.length();
    int at = s.text().lastIndexOf(separator);
    while (at >= 0 && parts.size() < max) {
      Budget.checkList(parts.size() + 1L);
      parts.add(s.slice(at + separator.length(), to));
      to = at;
      at = at < separator.length() ? -1 : s.text().lastIndexOf(separator, at - separator.length());
    }
    parts.add(s.slice(0, to));
    return parts;
  }

  /** How many words: runs of letters, digits and underscores. */
  static long countWords(Str s) {
    long count = 0;
    boolean inWord = false;
    for (int i = 0; i < s.length(); ) {
      int c = s.text().codePointAt(i);
      i += Character.charCount(c);
      boolean word = Character.isLetterOrDigit(c) || c == '_';
      count += word && !inWord ? 1 : 0;
      inWord = word;
    }
    return count;
  }

  private static List<Object> words(Str s, long max) {
    List<Object> parts = new ArrayList<>();
    int i = skipSpace(s, 0);
    while (i < s.length()) {
      Budget.checkList(parts.size() + 1L);
      if (parts.size() >= max) {
        // What is left stays one part, without the space behind it.
        parts.add(StringMethods.strip(s.slice(i, s.length()), Arguments.NONE, false, true));
        break;
      }
      int end = i;
      while (end < s.length() && !StringMethods.isSpace(s.text().codePointAt(end))) {
        end = s.text().offsetByCodePoints(end, 1);
      }
      parts.add(s.slice(i, end));
      i = skipSpace(s, end);
    }
    return parts;
  }

  private static int skipSpace(Str s, int from) {
    int i = from;
    while (i < s.length() && StringMethods.isSpace(s.text().codePointAt(i))) {
      i = s.text().offsetByCodePoints(i, 1);
    }
    return i;
  }

  private static List<Object> wordsFromRight(Str s, long max) {
    List<Object> parts = new ArrayList<>();
    Str rest = StringMethods.strip(s, Arguments.NONE, false, true);
    while (rest.length() > 0) {
      Budget.checkList(parts.size() + 1L);
      if (parts.size() >= max) {
        parts.add(StringMethods.strip(rest, Arguments.NONE, true, false));
        break;
      }
      int begin = rest.length();
      while (begin > 0 && !StringMethods.isSpace(rest.text().codePointBefore(begin))) {
        begin = rest.text().offsetByCodePoints(begin, -1);
      }
      parts.add(rest.slice(begin, rest.length()));
      rest = StringMethods.strip(rest.slice(0, begin), Arguments.NONE, false, true);
    }
    return parts;
  }

  static Seq lines(Str s, Arguments arguments) {
    boolean keep =
        Values.truth(Arguments.or(arguments.bind("splitlines", 0, "keepends")[0], false));
    List<Object> parts = new ArrayList<>();
    int from = 0;
    while (from < s.length()) {
      Budget.checkList(parts.size() + 1L);
      int end = from;
      while (end < s.length() && !isLineBreak(s.text().charAt(end))) {
        end++;
      }
      int next = end;
      if (end < s.length()) {
        boolean crlf = s.text().startsWith("\r\n", end);
        next = end + (crlf ? 2 : 1);
      }
      parts.add(s.slice(from, keep ? next : end));
      from = next;
    }
    return Seq.list(parts);
  }

  private static boolean isLineBreak(char c) {
    return (c >= '\n' && c <= '\r')
        || (c >= 0x1c && c <= 0x1e)
        || c == 0x85
        || c == 0x2028
        || c == 0x2029;
  }

  static Seq partition(Str s, Arguments arguments, boolean last, Budget budget) {
    String separator = separator(arguments.bind("partition", 1, "sep")[0]);
    budget.search(s.length(), separator.length());
    int at = last ? s.text().lastIndexOf(separator) : s.text().indexOf(separator);
    if (at < 0) {
      return last ? Seq.tuple(Str.EMPTY, Str.EMPTY, s) : Seq.tuple(s, Str.EMPTY, Str.EMPTY);
    }
    int end = at + separator.length();
    return Seq.tuple(s.slice(0, at), s.slice(at, end), s.slice(end, s.length()));
  }
}
