package ai.nibble.tensor;

import java.nio.FloatBuffer;

/**
 * A window on rows of a contiguous float32 or bfloat16 CPU tensor {@code [..., width]}, read and
 * written as float arrays: how elementwise loops in Java meet tensors. One instance serves one
 * thread.
 *
 * <p>float32 is read and written where it lies. bfloat16 is converted for the whole window at once,
 * by libtorch: what is written reaches the tensor, rounded to nearest even, when the window closes.
 */
public final class Rows implements AutoCloseable {
  /** Elements of a range whose windows stay in a core's cache. */
  private static final int ELEMENTS_A_RANGE = 1 << 15;

  private final long begin;
  private final int width;
  private final int stride;
  private final int column;
  private final FloatBuffer floats;
  private final Tensor scratch;
  private final Tensor target;

  /**
   * @param scratch float32 {@code [rows, stride]}, taken over
   * @param target receives the scratch's values in the end, taken over; null: nothing does
   */
  private Rows(long begin, int width, int stride, int column, Tensor scratch, Tensor target) {
    this.begin = begin;
    this.width = width;
    this.stride = stride;
    this.column = column;
    this.floats = scratch.floats();
    this.scratch = scratch;
    this.target = target;
  }

  /** Rows of this width that make a good range of a parallel loop. */
  public static int grain(long width) {
    return (int) Math.max(1, ELEMENTS_A_RANGE / Math.max(1, width));
  }

  /**
   * Rows {@code [begin, end)} for reading, below 2 GiB.
   *
   * @param t its last dimension is the row
   */
  public static Rows reading(Tensor t, long begin, long end) {
    return open(t, begin, end, 0, (int) t.size(-1), true, false);
  }

  /** Columns {@code [column, column + width)} of rows {@code [begin, end)} for reading. */
  public static Rows reading(Tensor t, long begin, long end, int column, int width) {
    return open(t, begin, end, column, width, true, false);
  }

  /** Rows {@code [begin, end)}, all of which will be written. */
  public static Rows writing(Tensor t, long begin, long end) {
    return open(t, begin, end, 0, (int) t.size(-1), false, true);
  }

  /** Columns {@code [column, column + width)} of rows, all of which will be written. */
  public static Rows writing(Tensor t, long begin, long end, int column, int width) {
    return open(t, begin, end, column, width, false, true);
  }

  /** Rows {@code [begin, end)} for reading and writing. */
  public static Rows updating(Tensor t, long begin, long end) {
    return open(t, begin, end, 0, (int) t.size(-1), true, true);
  }

  private static Rows open(
      Tensor t, long begin, long end, int column, int width, boolean reads, boolean writes) {
    int all = (int) t.size(-1);
    if (t.dtype() != DType.FLOAT32 && t.dtype() != DType.BFLOAT16) {
      throw new TensorException("rows: needs float32 or bfloat16, got " + t);
    }
    try (Scope scope = new Scope()) {
      Tensor flat = t.dim() == 2 ? t : scope.own(t.view(t.numel() / all, all));
      Tensor rows = flat.narrow(0, begin, end - begin);
      if (t.dtype() == DType.FLOAT32) {
        return new Rows(begin, width, all, column, rows, null);
      }
      Tensor window = width == all ? rows : scope.own(rows).narrow(1, column, width);
      Tensor scratch = Tensor.empty(DType.FLOAT32, end - begin, width);
      if (reads) {
        scratch.copyFrom(window);
      }
      if (!writes) {
        window.close();
      }
      return new Rows(begin, width, width, 0, scratch, writes ? window : null);
    }
  }

  /** Elements of a row. */
  public int width() {
    return width;
  }

  /** Reads a row, counted from the tensor's first, into the start of the array. */
  public void load(long row, float[] into) {
    floats.get(index(row), into, 0, width);
  }

  /** Writes a row from the start of the array. */
  public void store(long row, float[] from) {
    floats.put(index(row), from, 0, width);
  }

  private int index(long row) {
    return (int) (row - begin) * stride + column;
  }

  /** Brings what was written to the tensor. */
  @Override
  public void close() {
    try (scratch;
        Tensor window = target) {
      if (window != null) {
        window.copyFrom(scratch);
      }
    }
  }
}
