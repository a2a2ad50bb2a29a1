package ai.nibble.report;

import java.util.Locale;

/** HTML being written. Texts go in by {@link #text} and are escaped; all else is our own. */
final class Html {
  private final StringBuilder out = new StringBuilder();

  /** Markup of ours, as it is. */
  Html raw(String markup) {
    out.append(markup);
    return this;
  }

  /** Somebody's text. */
  Html text(String text) {
    out.append(escaped(text));
    return this;
  }

  /** An element with nothing but a text in it. */
  Html element(String name, String text) {
    return element(name, "", text);
  }

  /**
   * An element with nothing but a text in it.
   *
   * @param type its class; empty: none
   */
  Html element(String name, String type, String text) {
    out.append('<').append(name);
    if (!type.isEmpty()) {
      out.append(" class=\"").append(type).append('"');
    }
    out.append('>').append(escaped(text)).append("</").append(name).append(">");
    return this;
  }

  int length() {
    return out.length();
  }

  @Override
  public String toString() {
    return out.toString();
  }

  /**
   * A text as HTML shows it, in elements and in quoted attributes. Characters that HTML forbids
   * become U+FFFD.
   */
  static String escaped(String text) {
    StringBuilder escaped = new StringBuilder(text.length() + 16);
    for (int i = 0; i < text.length(); i++) {
      char c = text.charAt(i);
      switch (c) {
        case '&' -> escaped.append("&amp;");
        case '<' -> escaped.append("&lt;");
        case '>' -> escaped.append("&gt;");
        case '"' -> escaped.append("&quot;");
        case '\'' -> escaped.append("&#39;");
        case '\n', '\t' -> escaped.append(c);
        case '\r' -> escaped.append("&#13;");
        default -> escaped.append(isForbidden(text, i) ? '\ufffd' : c);
      }
    }
    return escaped.toString();
  }

  private static boolean isForbidden(String text, int i) {
    char c = text.charAt(i);
    if (Character.isHighSurrogate(c)) {
      return i + 1 == text.length() || !Character.isLowSurrogate(text.charAt(i + 1));
    }
    if (Character.isLowSurrogate(c)) {
      return i == 0 || !Character.isHighSurrogate(text.charAt(i - 1));
    }
    return Character.isISOControl(c) || c == '\ufffe' || c == '\uffff';
  }

  /** The beginning of a text, with an ellipsis where more was there. */
  static String shortened(String text, int most) {
    if (text.length() <= most) {
      return text;
    }
    int end = Character.isHighSurrogate(text.charAt(most - 1)) ? most - 1 : most;
    return text.substring(0, end) + " …";
  }

  /** {@code 12,345}. */
  static String count(long n) {
    return String.format(Locale.ROOT, "%,d", n);
  }

  /** {@code 12,345} below ten million, then {@code 12.3 M} and {@code 1.23 G}. */
  static String shortCount(long n) {
    if (n < 10_000_000) {
      return count(n);
    }
    return n < 1_000_000_000L
        ? String.format(Locale.ROOT, "%.1f M", n / 1e6)
        : String.format(Locale.ROOT, "%.2f G", n / 1e9);
  }

  /** Four significant digits; {@code –} for what is not a number. */
  static String number(double x) {
    if (Double.isNaN(x)) {
      return "–";
    }
    if (Double.isInfinite(x)) {
      return x > 0 ? "∞" : "−∞";
    }
    double size = Math.abs(x);
    if (size != 0 && (size < 1e-3 || size >= 1e6)) {
      return String.format(Locale.ROOT, "%.2e", x);
    }
    int digits = size == 0 ? 0 : (int) Math.max(0, 3 - Math.floor(Math.log10(size)));
    return String.format(Locale.ROOT, "%,." + digits + "f", x);
  }

  /** {@code 96.0 %}. */
  static String percent(double share) {
    return String.format(Locale.ROOT, "%.1f %%", 100 * share);
  }
}
