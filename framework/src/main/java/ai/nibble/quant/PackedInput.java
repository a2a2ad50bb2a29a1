package ai.nibble.quant;

import ai.nibble.quant.vector.Dot512;

/**
 * Inputs of a {@link PackedProduct}: rows of float32, of which each 32 elements are reordered to 16
 * of even index and 16 of odd index, as the nibbles of packed bytes come.
 */
public final class PackedInput {
  private final int rows;
  private final int width;
  private final float[] values;

  /**
   * @param rows at least 1
   * @param width elements of a row, a multiple of 32
   */
  public PackedInput(int rows, int width) {
    if (rows < 1 || width % PackedProduct.UNIT != 0) {
      throw new IllegalArgumentException(rows + " rows of " + width + ", not a multiple of 32");
    }
    this.rows = rows;
    this.width = width;
    // the kernel takes one row or four
    int padded = rows == 1 ? 1 : (rows + Dot512.FOUR - 1) / Dot512.FOUR * Dot512.FOUR;
    this.values = new float[padded * width];
  }

  /** Takes a row's values, in their own order, from the start of the array. */
  public void set(int row, float[] from) {
    int at = row * width;
    for (int c = 0; c < width; c += PackedProduct.UNIT) {
      for (int k = 0; k < PackedProduct.UNIT / 2; k++) {
        values[at + c + k] = from[c + 2 * k];
        values[at + c + PackedProduct.UNIT / 2 + k] = from[c + 2 * k + 1];
      }
    }
  }

  int rows() {
    return rows;
  }

  int width() {
    return width;
  }

  /**
   * All rows, one after the other; of more than one, zeros up to a multiple of four. They stay this
   * input's.
   */
  public float[] values() {
    return values;
  }
}
