package ai.nibble.cli;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/** How many rows are how long, in text and numbers. */
final class LengthHistogram {
  private static final int BINS = 10;
  private static final int LONGEST_BAR = 40;

  private final List<Bin> bins = new ArrayList<>();

  /**
   * Rows of some lengths.
   *
   * @param from tokens
   * @param to tokens, inclusive
   */
  record Bin(int from, int to, int rows) {}

  /**
   * @param lengths ascending, at least one
   */
  LengthHistogram(int[] lengths) {
    int longest = lengths[lengths.length - 1];
    int width = (longest - lengths[0]) / BINS + 1;
    int row = 0;
    for (int from = lengths[0]; from <= longest; from += width) {
      int begin = row;
      while (row < lengths.length && lengths[row] < from + width) {
        row++;
      }
      bins.add(new Bin(from, Math.min(longest, from + width - 1), row - begin));
    }
  }

  /** Bins of one width, which reach from the shortest row to the longest. */
  List<Bin> bins() {
    return bins;
  }

  /** One line a bin; a bin that has any rows has a bar. */
  List<String> lines() {
    int most = bins.stream().mapToInt(Bin::rows).max().orElse(1);
    int digits = String.format(Locale.ROOT, "%,d", bins.get(bins.size() - 1).to).length();
    List<String> lines = new ArrayList<>();
    for (Bin bin : bins) {
      int bar = (int) (((long) bin.rows * LONGEST_BAR + most - 1) / most);
      String range = "%," + digits + "d to %," + digits + "d  ";
      lines.add(
          String.format(Locale.ROOT, range, bin.from, bin.to)
              + "#".repeat(bar)
              + String.format(Locale.ROOT, "%s%,d", bar == 0 ? "" : " ", bin.rows));
    }
    return lines;
  }
}
