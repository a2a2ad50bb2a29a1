package ai.nibble.lora;

import java.util.regex.PatternSyntaxException;

/**
 * Rewrites a regular expression from Python's syntax to Java's, so that both match the same paths.
 *
 * <p>What differs: named groups ({@code (?P<n>…)}, {@code (?P=n)}, with underscores in names),
 * braces that are no repeat and stand for themselves, {@code {,n}}, brackets and ampersands inside
 * a class, the escapes {@code \Z \v \U}. What Python refuses is refused here too, so that a pattern
 * that works in Nibble works wherever the adapter goes: {@code \p \Q \h}, {@code (?<n>…)}, flags
 * that are not at the start. Conditionals, verbose mode and named characters are refused.
 */
final class PythonRegex {
  /** Groups within groups; the compiler of {@link java.util.regex} recurses into each. */
  private static final int MAX_DEPTH = 100;

  private final String source;
  private final StringBuilder target = new StringBuilder();
  private int at;

  PythonRegex(String source) {
    this.source = source;
  }

  /** The Java name of a Python group: letters and digits only. */
  static String groupName(String name) {
    return "n" + name.replace("_", "U5F");
  }

  String translate() {
    int depth = 0;
    while (at < source.length()) {
      char c = source.charAt(at++);
      if (c == '*' || c == '+' || c == '?') {
        target.append(c);
        afterRepeat();
        continue;
      }
      switch (c) {
        case '\\' -> escape(false);
        case '[' -> characterClass();
        case '{' -> brace();
        case '}' -> target.append("\\}");
        case ')' -> {
          depth--;
          target.append(c);
        }
        case '(' -> {
          if (++depth > MAX_DEPTH) {
            throw problem("groups nested deeper than " + MAX_DEPTH);
          }
          if (source.startsWith("?", at)) {
            depth -= extension();
          } else {
            target.append(c);
          }
        }
        default -> target.append(c);
      }
    }
    return target.toString();
  }

  /** After {@code (}, at {@code ?}; returns 1 where the parenthesis is already closed. */
  private int extension() {
    for (String same : new String[] {"?:", "?=", "?!", "?<=", "?<!", "?>"}) {
      if (source.startsWith(same, at)) {
        at += same.length();
        target.append('(').append(same);
        return 0;
      }
    }
    if (source.startsWith("?P<", at)) {
      at += 3;
      target.append("(?<").append(groupName(nameUpTo('>'))).append('>');
      return 0;
    }
    if (source.startsWith("?P=", at)) {
      at += 3;
      target.append("\\k<").append(groupName(nameUpTo(')'))).append('>');
      return 1;
    }
    if (source.startsWith("?#", at)) {
      at = 1 + indexOf(')');
      return 1;
    }
    return flags();
  }

  /** At {@code ?} of {@code (?ims)}, only at the very start, or {@code (?ims-ims:…)}. */
  private int flags() {
    int begin = at++;
    StringBuilder flags = new StringBuilder();
    while (at < source.length() && "imsau-".indexOf(source.charAt(at)) >= 0) {
      char flag = source.charAt(at++);
      if (flag != 'a' && flag != 'u') { // module paths are ASCII: nothing to tell apart
        flags.append(flag);
      }
    }
    char end = at < source.length() ? source.charAt(at++) : 0;
    boolean global = end == ')' && begin == 1;
    if (!global && end != ':') {
      throw problem("unknown or misplaced extension after '(?'");
    }
    target.append("(?").append(flags).append(end);
    return global ? 1 : 0;
  }

  /** After a backslash. */
  private void escape(boolean inClass) {
    if (at == source.length()) {
      throw problem("a backslash at the end");
    }
    char c = source.charAt(at++);
    if (c < 128 && Character.isLetterOrDigit(c)) {
      target.append(letterEscape(c, inClass));
    } else {
      target.append('\\').append(c);
    }
  }

  private String letterEscape(char c, boolean inClass) {
    if ("dDsSwWfnrt".indexOf(c) >= 0 || (!inClass && "AbB123456789".indexOf(c) >= 0)) {
      return "\\" + c;
    }
    if (c == 'b') {
      return "\\x08";
    }
    if (c == 'a') {
      return "\\x07";
    }
    if (c == 'v') {
      return "\\x0B";
    }
    if (c == 'Z' && !inClass) {
      return "\\z";
    }
    int digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    if (digits == 0 || at + digits > source.length()) {
      throw problem("bad escape \\" + c);
    }
    String hex = source.substring(at, at += digits);
    if (!hex.matches("[0-9a-fA-F]+")) {
      throw problem("bad escape \\" + c + hex);
    }
    return "\\x{" + hex + "}";
  }

  /** After {@code [}. */
  private void characterClass() {
    target.append('[');
    if (source.startsWith("^", at)) {
      target.append('^');
      at++;
    }
    boolean first = true; // where a closing bracket stands for itself
    while (at < source.length()) {
      char c = source.charAt(at++);
      if (c == ']' && !first) {
        target.append(']');
        return;
      }
      first = false;
      if (c == '\\') {
        escape(true);
      } else {
        target.append("[]&^".indexOf(c) >= 0 ? "\\" : "").append(c);
      }
    }
    throw problem("a character class is not closed");
  }

  /** After an opening brace: a repeat, or a brace. */
  private void brace() {
    int close = source.indexOf('}', at);
    String inside = close < 0 ? "" : source.substring(at, close);
    if (inside.matches("[0-9]{1,9}|[0-9]{0,9},[0-9]{0,9}")) {
      target.append('{').append(inside.startsWith(",") ? "0" : "").append(inside).append('}');
      at = close + 1;
      afterRepeat();
    } else {
      target.append("\\{");
    }
  }

  /** A repeat may be made lazy or possessive, but not repeated. */
  private void afterRepeat() {
    if (at < source.length() && "?+".indexOf(source.charAt(at)) >= 0) {
      target.append(source.charAt(at++));
    }
    if (at < source.length() && "*+?".indexOf(source.charAt(at)) >= 0
        || source.substring(at).matches("(?s)\\{[0-9]+(,[0-9]*)?\\}.*")) {
      throw problem("a repeat of a repeat");
    }
  }

  private String nameUpTo(char end) {
    int close = indexOf(end);
    String name = source.substring(at, close);
    if (!name.matches("[A-Za-z_][A-Za-z0-9_]*")) {
      throw problem("bad group name '" + name + "'");
    }
    at = close + 1;
    return name;
  }

  private int indexOf(char end) {
    int close = source.indexOf(end, at);
    if (close < 0) {
      throw problem("missing '" + end + "'");
    }
    return close;
  }

  private PatternSyntaxException problem(String description) {
    return new PatternSyntaxException(description, source, at);
  }
}
