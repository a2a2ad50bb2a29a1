package ai.nibble.cuda.composed;

import ai.nibble.tensor.Aten;

/** Divides work, so that what a part makes on its way is freed before the next one. */
public final class Parts {
  /** Elements of a part, if a row has no more: each float64 of them takes 16 MiB. */
  static final long ELEMENTS = 1 << 21;

  /** The most that what a kernel makes on its way holds at a time, if no row is longer. */
  public static final long MOST_BYTES = 256L << 20;

  private Parts() {}

  /** Work on some rows. */
  @FunctionalInterface
  interface Rows {
    /**
     * @param at makes what lives as long as the part
     * @param begin first row
     * @param count of rows, at least 1
     */
    void run(Aten at, long begin, long count);
  }

  /** Work on some elements of a flat array that are blocks of one width. */
  @FunctionalInterface
  interface Blocks {
    /**
     * @param at makes what lives as long as the part
     * @param begin first element, where a block begins
     * @param count of blocks, at least 1
     * @param width elements of each; fewer than a block's if it is the last one alone
     */
    void run(Aten at, long begin, long count, long width);
  }

  /** Rows in their order, as many at a time as have {@link #ELEMENTS} elements. */
  static void ofRows(long rows, long width, Rows work) {
    inParts(rows, Math.max(1, ELEMENTS / Math.max(1, width)), work);
  }

  /** Likewise with four times as many, of work that makes 32 bytes an element at most. */
  static void ofLightRows(long rows, long width, Rows work) {
    inParts(rows, Math.max(1, 4 * ELEMENTS / Math.max(1, width)), work);
  }

  private static void inParts(long rows, long most, Rows work) {
    for (long begin = 0; begin < rows; begin += most) {
      try (Aten at = new Aten()) {
        work.run(at, begin, Math.min(most, rows - begin));
      }
    }
  }

  /** All blocks of n elements; what is left behind the last whole one is a part of its own. */
  static void ofBlocks(long n, long blockSize, Blocks work) {
    ofRows(
        n / blockSize,
        blockSize,
        (at, begin, count) -> work.run(at, begin * blockSize, count, blockSize));
    long rest = n % blockSize;
    if (rest > 0) {
      try (Aten at = new Aten()) {
        work.run(at, n - rest, 1, rest);
      }
    }
  }
}
