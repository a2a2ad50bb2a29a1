package ai.nibble.data.jinja;

import java.util.Arrays;
import java.util.function.UnaryOperator;

/**
 * A template's string: UTF-16 text whose characters each know their origin (0 is the template).
 *
 * <p>Immutable. Two strings are equal when their texts are, whatever their origins. A string that
 * went through {@code safe} or {@code escape} is markup: what is added to it gets HTML-escaped,
 * which some published templates (unwillingly) rely on.
 */
final class Str implements Comparable<Str> {
  static final Str EMPTY = new Str("", 0, null, null, false);

  private final String text;
  // One run: ends is null and every character has `origin`. Otherwise run i covers
  // [ends[i-1], ends[i]) with origins[i]; neighbours differ.
  private final int origin;
  private final int[] ends;
  private final int[] origins;
  private final boolean markup;

  private Str(String text, int origin, int[] ends, int[] origins, boolean markup) {
    this.text = text;
    this.origin = origin;
    this.ends = ends;
    this.origins = origins;
    this.markup = markup;
  }

  static Str of(String text) {
    return of(text, 0);
  }

  static Str of(String text, int origin) {
    return text.isEmpty() ? EMPTY : new Str(text, origin, null, null, false);
  }

  static Str ofRuns(String text, int[] ends, int[] origins) {
    if (text.isEmpty()) {
      return EMPTY;
    }
    return ends.length == 1
        ? new Str(text, origins[0], null, null, false)
        : new Str(text, 0, ends, origins, false);
  }

  boolean isMarkup() {
    return markup;
  }

  Str withMarkup(boolean now) {
    return now == markup ? this : new Str(text, origin, ends, origins, now);
  }

  /** As markup, with HTML's special characters escaped; markup stays as it is. */
  Str escaped() {
    return markup ? this : forceEscaped();
  }

  Str forceEscaped() {
    return withMarkup(false)
        .mapRuns(
            run ->
                run.replace("&", "&amp;")
                    .replace(">", "&gt;")
                    .replace("<", "&lt;")
                    .replace("'", "&#39;")
                    .replace("\"", "&#34;"))
        .withMarkup(true);
  }

  String text() {
    return text;
  }

  /** UTF-16 length; Python's is {@link #codePoints()}. */
  int length() {
    return text.length();
  }

  int codePoints() {
    return text.codePointCount(0, text.length());
  }

  int runs() {
    return ends == null ? 1 : ends.length;
  }

  int runEnd(int run) {
    return ends == null ? text.length() : ends[run];
  }

  int runOrigin(int run) {
    return ends == null ? origin : origins[run];
  }

  /** The first origin that is not the template's, or 0. */
  int dominantOrigin() {
    for (int i = 0; i < runs(); i++) {
      if (runOrigin(i) != 0) {
        return runOrigin(i);
      }
    }
    return 0;
  }

  /** Characters {@code [from, to)}, UTF-16 indices. */
  Str slice(int from, int to) {
    if (from >= to) {
      return EMPTY.withMarkup(markup);
    }
    if (from == 0 && to == text.length()) {
      return this;
    }
    String part = text.substring(from, to);
    if (ends == null) {
      return new Str(part, origin, null, null, markup);
    }
    int first = runAt(from);
    int last = runAt(to - 1);
    int[] newEnds = new int[last - first + 1];
    for (int i = first; i <= last; i++) {
      newEnds[i - first] = Math.min(ends[i], to) - from;
    }
    return ofRuns(part, newEnds, Arrays.copyOfRange(origins, first, last + 1)).withMarkup(markup);
  }

  private int runAt(int index) {
    int found = Arrays.binarySearch(ends, index + 1);
    return found >= 0 ? found : -found - 1;
  }

  /** A text derived from this one: origins stay in place where the length does. */
  Str derive(String derived) {
    if (derived.length() == text.length() && ends != null) {
      return new Str(derived, 0, ends, origins, markup);
    }
    return of(derived, dominantOrigin()).withMarkup(markup);
  }

  /** The text mapped run by run, each keeping its origin. */
  Str mapRuns(UnaryOperator<String> map) {
    if (ends == null) {
      return of(map.apply(text), origin).withMarkup(markup);
    }
    StrBuilder out = new StrBuilder();
    int begin = 0;
    for (int i = 0; i < ends.length; i++) {
      out.append(map.apply(text.substring(begin, ends[i])), origins[i]);
      begin = ends[i];
    }
    return out.build().withMarkup(markup);
  }

  /** Python's order: by code point. */
  @Override
  public int compareTo(Str other) {
    int n = Math.min(text.length(), other.text.length());
    int i = 0;
    while (i < n && text.charAt(i) == other.text.charAt(i)) {
      i++;
    }
    if (i == n) {
      return Integer.compare(text.length(), other.text.length());
    }
    char a = text.charAt(i);
    char b = other.text.charAt(i);
    // A surrogate stands for a code point above every character of the basic plane.
    if (Character.isSurrogate(a) != Character.isSurrogate(b)) {
      return Character.isSurrogate(a) ? 1 : -1;
    }
    return Character.compare(a, b);
  }

  @Override
  public boolean equals(Object other) {
    return other instanceof Str str && text.equals(str.text);
  }

  @Override
  public int hashCode() {
    return text.hashCode();
  }

  @Override
  public String toString() {
    return text;
  }
}
