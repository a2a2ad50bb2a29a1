package ai.nibble.recipe;

import java.util.Collection;
import java.util.Comparator;
import java.util.Locale;
import java.util.Optional;

/** "Did you mean": the name that takes the fewest slips of the finger to become the one written. */
final class NearestName {
  private static final int LONGEST = 64;

  private NearestName() {}

  /** {@code (did you mean 'x'?)} with a leading space, or nothing where no name is near. */
  static String hint(String written, Collection<String> names) {
    return find(written, names).map(name -> " (did you mean '" + name + "'?)").orElse("");
  }

  /** The nearest name; of equally near ones the first. */
  static Optional<String> find(String written, Collection<String> names) {
    if (written.length() > LONGEST) {
      return Optional.empty();
    }
    String wanted = normal(written);
    int most = Math.max(1, wanted.length() / 3);
    record Near(String name, int distance) {}
    return names.stream()
        .map(name -> new Near(name, distance(wanted, normal(name))))
        .filter(near -> near.distance <= most)
        .min(Comparator.comparingInt(Near::distance))
        .map(Near::name);
  }

  private static String normal(String name) {
    return name.toLowerCase(Locale.ROOT).replace('-', '_');
  }

  /** Insertions, deletions, substitutions and swaps of neighbours (optimal string alignment). */
  static int distance(String a, String b) {
    int[][] d = new int[a.length() + 1][b.length() + 1];
    for (int i = 0; i <= a.length(); i++) {
      for (int j = 0; j <= b.length(); j++) {
        if (i == 0 || j == 0) {
          d[i][j] = i + j;
          continue;
        }
        int cost = a.charAt(i - 1) == b.charAt(j - 1) ? 0 : 1;
        d[i][j] = Math.min(Math.min(d[i - 1][j], d[i][j - 1]) + 1, d[i - 1][j - 1] + cost);
        if (i > 1
            && j > 1
            && a.charAt(i - 1) == b.charAt(j - 2)
            && a.charAt(i - 2) == b.charAt(j - 1)) {
          d[i][j] = Math.min(d[i][j], d[i - 2][j - 2] + 1);
        }
      }
    }
    return d[a.length()][b.length()];
  }
}
