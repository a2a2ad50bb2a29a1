package ai.nibble.cuda;

import ai.nibble.tensor.DType;
import ai.nibble.tensor.Grid;

/** How rows and flat arrays are divided among threads that move 16 bytes at a time. */
final class Grids {
  private static final int WARP = 32;
  private static final int THREADS = 256;
  private static final int MOST_BLOCKS_Y = 65535;

  /** 16-byte accesses whose values a thread keeps between two passes over its row. */
  private static final int KEPT = 4;

  /** Most threads of a row: such a kernel may use 128 registers a thread. */
  private static final int MOST_LANES = 512;

  private Grids() {}

  private static long pieces(long elements, DType dtype) {
    int size = 16 / dtype.bytes();
    return (elements + size - 1) / size;
  }

  /** A block a row in x, enough of them in y that each thread has one access. */
  static Grid rows(long rows, long width, DType dtype) {
    long pieces = Math.max(1, pieces(width, dtype));
    int threads = threadsFor(pieces);
    return Grid.of(rows, (int) Math.min(MOST_BLOCKS_Y, (pieces + threads - 1) / threads), threads);
  }

  /** One block a row, whose threads take turns. */
  static Grid wholeRows(long rows, long width, DType dtype) {
    return Grid.of(rows, threadsFor(pieces(width, dtype)));
  }

  private static int threadsFor(long pieces) {
    return (int) Math.max(WARP, Math.min(THREADS, (pieces + WARP - 1) / WARP * WARP));
  }

  /** Blocks for a flat array. */
  static Grid flat(long elements, DType dtype) {
    return Grid.covering(elements, (long) THREADS * (16 / dtype.bytes()), THREADS);
  }

  /** Threads of a row whose sums need all of it: a warp, or a power of two of them. */
  static int lanes(long width, DType dtype) {
    long pieces = pieces(width, dtype);
    int lanes = WARP;
    while (lanes < MOST_LANES && (long) lanes * KEPT < pieces) {
      lanes *= 2;
    }
    return lanes;
  }

  /** Blocks for rows with so many lanes each: of short rows several in a block. */
  static Grid summedRows(long rows, int lanes) {
    int threads = lanes == WARP ? 4 * WARP : lanes;
    return Grid.covering(rows, threads / lanes, threads);
  }
}
