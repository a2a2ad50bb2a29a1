package ai.nibble.tensor;

/**
 * How many threads run a kernel: {@code blocksX * blocksY * blocksZ} blocks of {@code threads} in
 * one row, within the limits that every GPU since compute capability 5.0 has (CUDA C Programming
 * Guide, table of technical specifications).
 *
 * @param blocksX 0 to 2^31 - 1; with 0 blocks nothing is launched, as for an empty tensor
 * @param blocksY 1 to 65535
 * @param blocksZ 1 to 65535
 * @param threads 1 to 1024 of one block
 * @param sharedBytes of dynamic shared memory for each block; over 48 KiB the kernel is given leave
 *     to use so much, as far as the GPU has it
 */
public record Grid(long blocksX, int blocksY, int blocksZ, int threads, int sharedBytes) {
  private static final int MOST_BLOCKS_YZ = 65535;
  private static final int MOST_THREADS = 1024;

  public Grid {
    require("blocksX", blocksX, 0, Integer.MAX_VALUE);
    require("blocksY", blocksY, 1, MOST_BLOCKS_YZ);
    require("blocksZ", blocksZ, 1, MOST_BLOCKS_YZ);
    require("threads", threads, 1, MOST_THREADS);
    require("sharedBytes", sharedBytes, 0, Integer.MAX_VALUE);
  }

  private static void require(String name, long value, long least, long most) {
    if (value < least || value > most) {
      throw new IllegalArgumentException(
          "grid: " + name + " is " + value + ", expected " + least + " to " + most);
    }
  }

  /** So many blocks in one row. */
  public static Grid of(long blocks, int threads) {
    return new Grid(blocks, 1, 1, threads, 0);
  }

  /** Blocks in two dimensions. */
  public static Grid of(long blocksX, int blocksY, int threads) {
    return new Grid(blocksX, blocksY, 1, threads, 0);
  }

  /**
   * As many blocks in one row as so many elements need.
   *
   * @param elements 0 or more
   * @param elementsPerBlock of which one block takes care
   */
  public static Grid covering(long elements, long elementsPerBlock, int threads) {
    require("elements", elements, 0, Long.MAX_VALUE);
    require("elementsPerBlock", elementsPerBlock, 1, Long.MAX_VALUE);
    long rest = elements % elementsPerBlock == 0 ? 0 : 1;
    return of(elements / elementsPerBlock + rest, threads);
  }

  /** The same blocks with so many bytes of dynamic shared memory each. */
  public Grid withSharedBytes(int bytes) {
    return new Grid(blocksX, blocksY, blocksZ, threads, bytes);
  }

  /** Whether there is no block to run. */
  public boolean isEmpty() {
    return blocksX == 0;
  }

  /** {@code 32x4x1 blocks of 256 threads, 0 shared bytes}. */
  @Override
  public String toString() {
    return String.format(
        "%dx%dx%d blocks of %d threads, %d shared bytes",
        blocksX, blocksY, blocksZ, threads, sharedBytes);
  }
}
