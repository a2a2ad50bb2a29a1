package ai.nibble.data;

import java.util.Arrays;

/**
 * An epoch's rows as they are drawn. They come in units, of which a micro-batch takes several: a
 * row, or the rows of a pack.
 *
 * @param rows {@code [rows]}, by index
 * @param starts {@code [units + 1]}: where in {@code rows} each unit begins, and their number
 */
public record Epoch(int[] rows, int[] starts) {
  public Epoch {
    int n = starts.length;
    if (n < 1 || starts[0] != 0 || starts[n - 1] != rows.length) {
      throw new IllegalArgumentException(rows.length + " rows, " + n + " starts");
    }
  }

  /** Every row a unit of its own. */
  static Epoch ofSingles(int[] rows) {
    int[] starts = new int[rows.length + 1];
    for (int i = 0; i < starts.length; i++) {
      starts[i] = i;
    }
    return new Epoch(rows, starts);
  }

  /** Number of units. */
  public int units() {
    return starts.length - 1;
  }

  /** The rows of the units {@code [from, to)}, in their order. */
  public int[] rows(int from, int to) {
    return Arrays.copyOfRange(rows, starts[from], starts[to]);
  }
}
