package ai.nibble.data.jinja;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** Appends text with origins; refuses to grow past {@link Budget#MAX_TEXT}. */
final class StrBuilder {
  private final StringBuilder text = new StringBuilder();
  private int[] ends = new int[8];
  private int[] origins = new int[8];
  private int runs;
  private final List<Rendering.Span> generated = new ArrayList<>();

  int length() {
    return text.length();
  }

  StrBuilder append(Str str) {
    int begin = 0;
    for (int i = 0; i < str.runs(); i++) {
      append(str.text(), begin, str.runEnd(i), str.runOrigin(i));
      begin = str.runEnd(i);
    }
    return this;
  }

  /** Appends text of the template's own. */
  StrBuilder append(String part) {
    return append(part, 0);
  }

  StrBuilder append(String part, int origin) {
    return append(part, 0, part.length(), origin);
  }

  private StrBuilder append(String source, int from, int to, int origin) {
    if (from >= to) {
      return this;
    }
    Budget.checkText((long) text.length() + to - from);
    text.append(source, from, to);
    if (runs > 0 && origins[runs - 1] == origin) {
      ends[runs - 1] = text.length();
      return this;
    }
    if (runs == ends.length) {
      ends = Arrays.copyOf(ends, 2 * runs);
      origins = Arrays.copyOf(origins, 2 * runs);
    }
    ends[runs] = text.length();
    origins[runs++] = origin;
    return this;
  }

  Str build() {
    return Str.ofRuns(text.toString(), Arrays.copyOf(ends, runs), Arrays.copyOf(origins, runs));
  }

  /** Notes that what was appended since is the model's own, by the template's word. */
  void generatedSince(int begin) {
    generated.add(new Rendering.Span(begin, text.length()));
  }

  Rendering rendering() {
    List<Rendering.Run> list = new ArrayList<>(runs);
    int begin = 0;
    for (int i = 0; i < runs; i++) {
      list.add(new Rendering.Run(begin, ends[i], origins[i]));
      begin = ends[i];
    }
    return new Rendering(text.toString(), list, generated);
  }
}
