package ai.nibble.tensor;

import java.nio.FloatBuffer;
import java.nio.ShortBuffer;

/**
 * A small window on rows of a bfloat16 tensor, converted on the heap: a token's hidden state, whose
 * copy by libtorch would take eight calls of about a microsecond each.
 */
final class FewRows {
  /** Elements of a tensor's rows up to which this way is the faster one. */
  private static final int MAX_ELEMENTS = 8192;

  private final ShortBuffer memory;
  private final int stride;
  private final int column;
  private final int width;
  private final boolean writes;
  private final float[] values;

  static boolean takes(Tensor t, long rows) {
    return rows * t.size(-1) <= MAX_ELEMENTS && t.isContiguous() && t.device().isCpu();
  }

  /**
   * @param t bfloat16 {@code [..., stride]}, contiguous, open as long as this is used
   * @param writes whether {@link #write} changes the tensor
   */
  FewRows(Tensor t, long begin, long end, int column, int width, boolean writes) {
    this.stride = (int) t.size(-1);
    this.column = column;
    this.width = width;
    this.writes = writes;
    int row = stride * Short.BYTES;
    this.memory = t.bytes(begin * row, (int) (end - begin) * row).asShortBuffer();
    this.values = new float[(int) (end - begin) * width];
  }

  int width() {
    return width;
  }

  /** The window's values, row by row. */
  FloatBuffer values() {
    return FloatBuffer.wrap(values);
  }

  /** Fills the values from the tensor. */
  void read() {
    short[] row = new short[width];
    for (int at = 0, from = column; at < values.length; at += width, from += stride) {
      memory.get(from, row);
      for (int c = 0; c < width; c++) {
        values[at + c] = Bfloat16.toFloat(row[c]);
      }
    }
  }

  /** Brings the values to the tensor, where it is to be written. */
  void write() {
    if (!writes) {
      return;
    }
    short[] row = new short[width];
    for (int at = 0, to = column; at < values.length; at += width, to += stride) {
      for (int c = 0; c < width; c++) {
        row[c] = Bfloat16.of(values[at + c]);
      }
      memory.put(to, row);
    }
  }
}
