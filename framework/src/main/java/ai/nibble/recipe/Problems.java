package ai.nibble.recipe;

import ai.nibble.InvalidInputException;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** What is wrong with a recipe, gathered so that a person sees all of it at once. */
final class Problems {
  /** More lines than this help nobody. */
  private static final int MOST_LINES = 100;

  private static final int LONGEST_VALUE = 80;

  private record Problem(Position at, String line) {}

  private final List<Problem> found = new ArrayList<>();
  private final Map<String, Integer> sources = new HashMap<>();

  /** Lines of a source come after those of the sources begun before it. */
  void begin(Position source) {
    sources.putIfAbsent(source.source(), sources.size());
  }

  /**
   * @param at where it stands
   * @param what names the key, what was seen, what was expected and what to do
   */
  void add(Position at, String what) {
    begin(at);
    Problem problem = new Problem(at, at + ": " + what);
    if (!found.contains(problem)) {
      found.add(problem);
    }
  }

  /** Whether there is none so far. */
  boolean isEmpty() {
    return found.isEmpty();
  }

  /**
   * @throws InvalidInputException with all lines, each file's in the order of the file
   */
  void throwIfAny() {
    if (found.isEmpty()) {
      return;
    }
    List<String> lines =
        found.stream()
            .sorted(
                Comparator.<Problem>comparingInt(p -> sources.get(p.at.source()))
                    .thenComparingInt(p -> p.at.line() == 0 ? Integer.MAX_VALUE : p.at.line())
                    .thenComparingInt(p -> p.at.column()))
            .map(Problem::line)
            .toList();
    if (lines.size() > MOST_LINES) {
      int more = lines.size() - MOST_LINES;
      lines = new ArrayList<>(lines.subList(0, MOST_LINES));
      lines.add("… and " + more + " more problems");
    }
    throw new InvalidInputException(lines);
  }

  /** Untrusted text within one line: control characters escaped, long values cut. */
  static String shown(String text) {
    StringBuilder out = new StringBuilder();
    int end = text.length() <= LONGEST_VALUE ? text.length() : LONGEST_VALUE;
    for (int i = 0; i < end; i++) {
      char c = text.charAt(i);
      boolean oddSurrogate =
          Character.isSurrogate(c)
              && !(i + 1 < text.length() && Character.isSurrogatePair(c, text.charAt(i + 1)))
              && !(i > 0 && Character.isSurrogatePair(text.charAt(i - 1), c));
      // C1 controls, line separators and direction overrides can all forge a second line.
      int type = Character.getType(c);
      boolean unseen =
          type == Character.CONTROL
              || type == Character.FORMAT
              || type == Character.LINE_SEPARATOR
              || type == Character.PARAGRAPH_SEPARATOR;
      if (c == '\n') {
        out.append("\\n");
      } else if (unseen || oddSurrogate) {
        out.append(String.format("\\u%04x", (int) c));
      } else {
        out.append(c);
      }
    }
    return end == text.length() ? out.toString() : out.append('…').toString();
  }
}
