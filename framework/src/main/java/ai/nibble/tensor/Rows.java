package ai.nibble.tensor;

import java.nio.ByteBuffer;
import java.nio.FloatBuffer;
import java.nio.ShortBuffer;

/**
 * Rows of a contiguous float32 or bfloat16 CPU tensor {@code [..., width]} as float arrays: how
 * elementwise loops in Java read and write tensors. One instance serves one thread.
 */
public final class Rows {
  private final long begin;
  private final int width;
  private final FloatBuffer floats;
  private final ShortBuffer halves;
  private final short[] scratch;

  private Rows(long begin, int width, FloatBuffer floats, ShortBuffer halves) {
    this.begin = begin;
    this.width = width;
    this.floats = floats;
    this.halves = halves;
    this.scratch = halves == null ? null : new short[width];
  }

  /**
   * A window on rows {@code [begin, end)}, below 2 GiB.
   *
   * @param t its last dimension is the row
   */
  public static Rows of(Tensor t, long begin, long end) {
    int width = (int) t.size(-1);
    int size = t.dtype().bytes();
    ByteBuffer bytes = t.bytes(begin * width * size, Math.toIntExact((end - begin) * width * size));
    return switch (t.dtype()) {
      case FLOAT32 -> new Rows(begin, width, bytes.asFloatBuffer(), null);
      case BFLOAT16 -> new Rows(begin, width, null, bytes.asShortBuffer());
      default -> throw new TensorException("rows: needs float32 or bfloat16, got " + t);
    };
  }

  /** Elements of a row. */
  public int width() {
    return width;
  }

  /** Reads a row, counted from the tensor's first, into the start of the array. */
  public void load(long row, float[] into) {
    load(row, 0, into, width);
  }

  /** Reads {@code count} elements of a row from {@code column} on. */
  public void load(long row, int column, float[] into, int count) {
    int at = (int) (row - begin) * width + column;
    if (floats != null) {
      floats.get(at, into, 0, count);
      return;
    }
    short[] s = scratch;
    halves.get(at, s, 0, count);
    for (int i = 0; i < count; i++) {
      into[i] = Float.intBitsToFloat(s[i] << 16);
    }
  }

  /** Writes a row from the start of the array. */
  public void store(long row, float[] from) {
    store(row, 0, from, width);
  }

  /** Writes {@code count} elements of a row from {@code column} on. */
  public void store(long row, int column, float[] from, int count) {
    int at = (int) (row - begin) * width + column;
    if (floats != null) {
      floats.put(at, from, 0, count);
      return;
    }
    short[] s = scratch;
    for (int i = 0; i < count; i++) {
      s[i] = Bfloat16.of(from[i]);
    }
    halves.put(at, s, 0, count);
  }
}
