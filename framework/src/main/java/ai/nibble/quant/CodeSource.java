package ai.nibble.quant;

import ai.nibble.tensor.Parallel;

/** Where the integer codes of a matrix come from while it is made; called from several threads. */
@FunctionalInterface
public interface CodeSource {
  /** Rows that are asked for at a time, but for the last ones. */
  int ROWS = 64;

  /**
   * Puts rows of codes into an array, one code a byte.
   *
   * @param firstRow a multiple of {@link #ROWS}
   * @param codes receives {@code [rows, in]}
   */
  void read(long firstRow, int rows, byte[] codes);

  /** Takes rows of codes as {@link #read} gives them; called from several threads. */
  @FunctionalInterface
  interface Tile {
    void take(long firstRow, int rows, byte[] codes);
  }

  /** Reads a whole matrix {@code [out, in]}, on all cores. */
  default void forEachTile(long out, int in, Tile tile) {
    Parallel.forRanges(
        (out + ROWS - 1) / ROWS,
        1,
        (begin, end) -> {
          byte[] codes = new byte[ROWS * in];
          for (long t = begin; t < end; t++) {
            long first = t * ROWS;
            int rows = (int) Math.min(ROWS, out - first);
            read(first, rows, codes);
            tile.take(first, rows, codes);
          }
        });
  }
}
