package ai.nibble.export.merge;

import java.util.Arrays;

/**
 * The update of one weight W {@code [out, in]}: {@code gain ⊙ (W + b·a)}, the gain a factor of each
 * row.
 *
 * @param rank of the product
 * @param a {@code [rank, in]}, row-major
 * @param b {@code [out, rank]}, row-major, every scaling and weight in it
 * @param gain {@code [out]}; null for ones
 */
record LowRankUpdate(int rank, float[] a, float[] b, float[] gain) implements AutoCloseable {

  LowRankUpdate withGain(float[] newGain) {
    return new LowRankUpdate(rank, a, b, newGain);
  }

  /** Elements of a row of W. */
  int width() {
    return a.length / rank;
  }

  /**
   * Updates consecutive elements of the flattened weight. The product of an element is summed by
   * itself, over ranks in order, and then added to W once.
   *
   * @param first index of the first element
   * @param values W's, from {@code offset} on
   */
  void addTo(long first, float[] values, int offset, int count) {
    int width = width();
    float[] sum = new float[Math.min(width, count)];
    for (int done = 0; done < count; ) {
      long row = (first + done) / width;
      int column = (int) ((first + done) % width);
      int n = Math.min(width - column, count - done);
      product((int) row, column, n, sum);
      for (int c = 0; c < n; c++) {
        values[offset + done + c] += sum[c];
      }
      done += n;
    }
  }

  private void product(int row, int column, int n, float[] sum) {
    Arrays.fill(sum, 0, n, 0);
    for (int k = 0; k < rank; k++) {
      float factor = b[row * rank + k];
      int at = k * width() + column;
      for (int c = 0; c < n; c++) {
        sum[c] += factor * a[at + c];
      }
    }
  }

  /** Multiplies consecutive elements of the flattened weight by their rows' gains. */
  void scale(long first, float[] values, int offset, int count) {
    if (gain == null) {
      return;
    }
    for (int i = 0; i < count; i++) {
      values[offset + i] *= gain[(int) ((first + i) / width())];
    }
  }

  @Override
  public void close() {}
}
