package ai.nibble.report;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * How long rows are, in tokens.
 *
 * @param width of a bucket of the histogram
 * @param counts of rows with {@code [i · width, (i + 1) · width)} tokens
 * @param shortest of all
 * @param median half are not longer
 * @param p95 of twenty, nineteen are not longer
 * @param longest of all
 */
public record Lengths(
    int width, List<Integer> counts, int shortest, int median, int p95, int longest) {
  private static final int MOST_BUCKETS = 40;

  public Lengths {
    counts = counts == null ? List.of() : List.copyOf(counts);
  }

  /**
   * Counts them.
   *
   * @param lengths of rows, at least one
   */
  public static Lengths of(int[] lengths) {
    int[] sorted = lengths.clone();
    Arrays.sort(sorted);
    int longest = sorted[sorted.length - 1];
    int width = width(longest);
    int[] counts = new int[longest / width + 1];
    for (int length : sorted) {
      counts[length / width]++;
    }
    List<Integer> list = new ArrayList<>();
    Arrays.stream(counts).forEach(list::add);
    return new Lengths(
        width, list, sorted[0], quantile(sorted, 0.5), quantile(sorted, 0.95), longest);
  }

  /** 1, 2 or 5 times a power of ten. */
  private static int width(int longest) {
    for (long ten = 1; ; ten *= 10) {
      for (long width : new long[] {ten, 2 * ten, 5 * ten}) {
        if (longest / width < MOST_BUCKETS) {
          return (int) width;
        }
      }
    }
  }

  private static int quantile(int[] sorted, double share) {
    return sorted[(int) Math.ceil(share * sorted.length) - 1];
  }
}
