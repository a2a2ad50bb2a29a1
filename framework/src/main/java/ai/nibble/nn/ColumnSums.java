package ai.nibble.nn;

import ai.nibble.tensor.Tensor;
import java.nio.FloatBuffer;

/**
 * Float32 sums over the rows of a matrix: each range of rows adds into a partial sum of its own,
 * and the partial sums are added in the ranges' order, so the bits do not depend on the number of
 * threads.
 */
final class ColumnSums {
  private final int grain;
  private final float[][] partial;

  /**
   * @param rows of the matrix
   * @param grain rows a range, as given to {@code Parallel.forRanges}
   * @param width columns
   */
  ColumnSums(long rows, int grain, int width) {
    this.grain = grain;
    this.partial = new float[Math.toIntExact((rows + grain - 1) / grain)][width];
  }

  /** The partial sum of the range that begins at a row. */
  float[] of(long begin) {
    return partial[(int) (begin / grain)];
  }

  /** Adds the sums to a float32 vector. */
  void addTo(Tensor grad) {
    FloatBuffer values = grad.floats();
    float[] total = new float[values.limit()];
    for (float[] part : partial) {
      for (int c = 0; c < total.length; c++) {
        total[c] += part[c];
      }
    }
    for (int c = 0; c < total.length; c++) {
      values.put(c, values.get(c) + total[c]);
    }
  }
}
