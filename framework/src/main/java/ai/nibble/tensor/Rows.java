package ai.nibble.tensor;

import java.nio.FloatBuffer;
import java.util.EnumSet;
import java.util.Set;

/**
 * A window on rows of a contiguous float32, bfloat16 or float16 CPU tensor {@code [..., width]},
 * read and written as float arrays: how elementwise loops in Java meet tensors. One instance serves
 * one thread.
 *
 * <p>float32 is read and written where it lies. The others are converted for the whole window at
 * once, by libtorch or, few bfloat16 rows, in Java ({@link FewRows}): what is written reaches the
 * tensor, rounded to nearest even, when the window closes. The tensor stays open until then.
 *
 * <p>A window for writing must get all its rows. Closing one that did not, because an exception
 * ended the loop, throws (beside that exception, suppressed) and leaves a 16-bit tensor as it was;
 * a float32 tensor holds the rows up to there.
 */
public final class Rows implements AutoCloseable {
  /** Elements of a range whose windows stay in a core's cache. */
  private static final int ELEMENTS_A_RANGE = 1 << 15;

  private static final Set<DType> HELD = EnumSet.of(DType.FLOAT32, DType.BFLOAT16, DType.FLOAT16);

  private final long begin;
  private final int width;
  private final int stride;
  private final int column;
  private final FloatBuffer floats;
  private final Tensor scratch;
  private final Tensor target;
  private final FewRows few;
  private long unwritten;

  private Rows(long begin, FewRows few, long unwritten) {
    this.begin = begin;
    this.width = few.width();
    this.stride = few.width();
    this.column = 0;
    this.floats = few.values();
    this.scratch = null;
    this.target = null;
    this.few = few;
    this.unwritten = unwritten;
  }

  /**
   * @param scratch float32 {@code [rows, stride]}, taken over
   * @param target receives the scratch's values in the end, taken over; null: nothing does
   * @param unwritten rows that have to be written
   */
  private Rows(long begin, int width, int column, Tensor scratch, Tensor target, long unwritten) {
    this.begin = begin;
    this.width = width;
    this.stride = (int) scratch.size(1);
    this.column = column;
    this.floats = scratch.floats();
    this.scratch = scratch;
    this.target = target;
    this.few = null;
    this.unwritten = unwritten;
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
    long all = t.size(-1);
    if (!HELD.contains(t.dtype())) {
      throw new TensorException("rows: needs float32, bfloat16 or float16, got " + t);
    }
    if (t.dtype() == DType.BFLOAT16 && FewRows.takes(t, end - begin)) {
      FewRows few = new FewRows(t, begin, end, column, width, writes);
      if (reads) {
        few.read();
      }
      return new Rows(begin, few, reads ? 0 : end - begin);
    }
    try (Scope scope = new Scope()) {
      Tensor flat = t.dim() == 2 ? t : scope.own(t.view(t.numel() / all, all));
      Tensor rows = flat.narrow(0, begin, end - begin);
      if (t.dtype() == DType.FLOAT32) {
        return inPlace(rows, begin, column, width, reads ? 0 : end - begin);
      }
      Tensor window = width == all ? rows : scope.own(rows).narrow(1, column, width);
      return converted(window, begin, reads, writes);
    }
  }

  /** Float32 rows where they lie; they are taken over. */
  private static Rows inPlace(Tensor rows, long begin, int column, int width, long unwritten) {
    try {
      return new Rows(begin, width, column, rows, null, unwritten);
    } catch (RuntimeException e) {
      rows.close();
      throw e;
    }
  }

  /** A float32 copy of a window, which is taken over. */
  private static Rows converted(Tensor window, long begin, boolean reads, boolean writes) {
    try (Scope scope = new Scope()) {
      scope.own(window);
      int width = (int) window.size(1);
      Tensor scratch = scope.empty(DType.FLOAT32, window.size(0), width);
      if (reads) {
        scratch.copyFrom(window);
      }
      Tensor target = writes ? window : null;
      Rows opened = new Rows(begin, width, 0, scratch, target, reads ? 0 : window.size(0));
      scope.release();
      if (!writes) {
        window.close();
      }
      return opened;
    }
  }

  /** Elements of a row. */
  public int width() {
    return width;
  }

  /** Reads a row, counted from the tensor's first, into the start of the array. */
  public void load(long row, float[] into) {
    load(row, into, 0);
  }

  /** Reads a row into the array from an index on. */
  public void load(long row, float[] into, int at) {
    floats.get(index(row), into, at, width);
  }

  /** Writes a row from the start of the array. */
  public void store(long row, float[] from) {
    store(row, from, 0);
  }

  /** Writes a row from an index of the array on. */
  public void store(long row, float[] from, int at) {
    floats.put(index(row), from, at, width);
    unwritten--;
  }

  private int index(long row) {
    return (int) (row - begin) * stride + column;
  }

  /**
   * Brings what was written to the tensor.
   *
   * @throws TensorException if rows for writing were not written; the memory is freed all the same
   */
  @Override
  public void close() {
    try (scratch;
        Tensor window = target) {
      if (unwritten > 0) {
        throw new TensorException("rows: " + unwritten + " for writing were not written");
      }
      if (window != null) {
        window.copyFrom(scratch);
      }
      if (few != null) {
        few.write();
      }
    }
  }
}
