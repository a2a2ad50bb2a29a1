package ai.nibble.quant;

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
}
