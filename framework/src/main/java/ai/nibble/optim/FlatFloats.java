package ai.nibble.optim;

import ai.nibble.tensor.Parallel;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.util.Arrays;

/**
 * Arithmetic over whole flat float32 buffers.
 *
 * <p>Loops run on small arrays filled by bulk copies rather than on the buffers themselves: the JIT
 * compiler vectorises array loops reliably, the chunks stay in the cache, and any kind of {@link
 * FloatBuffer} will do.
 */
final class FlatFloats {
  /** Elements copied at a time: the four arrays of an update take 64 KiB, within a core's cache. */
  static final int CHUNK = 4096;

  /** Elements a parallel range covers: long enough that handing it out costs nothing beside it. */
  static final int GRAIN = 16 * CHUNK;

  private FlatFloats() {}

  /** A zeroed direct buffer in native byte order. */
  static FloatBuffer allocate(int elements) {
    if (elements < 0 || elements > Integer.MAX_VALUE / Float.BYTES) {
      throw new IllegalArgumentException(
          "a flat buffer of " + elements + " values, expected 0 to " + Integer.MAX_VALUE / 4);
    }
    return ByteBuffer.allocateDirect(elements * Float.BYTES)
        .order(ByteOrder.nativeOrder())
        .asFloatBuffer();
  }

  /** Refuses a buffer that is not exactly this long. */
  static void requireLength(String name, FloatBuffer buffer, int elements) {
    if (buffer.limit() != elements) {
      throw new IllegalArgumentException(
          name + " holds " + buffer.limit() + " values, expected " + elements);
    }
  }

  /** {@code into[i] += from[i]}, one rounding each. */
  static void add(FloatBuffer into, FloatBuffer from) {
    Parallel.forRanges(
        into.limit(),
        GRAIN,
        (begin, end) -> {
          float[] a = new float[CHUNK];
          float[] b = new float[CHUNK];
          for (int at = (int) begin; at < end; at += CHUNK) {
            int n = Math.min(CHUNK, (int) end - at);
            into.get(at, a, 0, n);
            from.get(at, b, 0, n);
            for (int i = 0; i < n; i++) {
              a[i] += b[i];
            }
            into.put(at, a, 0, n);
          }
        });
  }

  /** {@code values[i] *= factor}, one rounding each. */
  static void scale(FloatBuffer values, float factor) {
    Parallel.forRanges(
        values.limit(),
        GRAIN,
        (begin, end) -> {
          float[] a = new float[CHUNK];
          for (int at = (int) begin; at < end; at += CHUNK) {
            int n = Math.min(CHUNK, (int) end - at);
            values.get(at, a, 0, n);
            for (int i = 0; i < n; i++) {
              a[i] *= factor;
            }
            values.put(at, a, 0, n);
          }
        });
  }

  /** Copies all of {@code from} over {@code into}. */
  static void copy(FloatBuffer into, FloatBuffer from) {
    into.put(0, from, 0, from.limit());
  }

  /**
   * Σ x² in double precision. Each range keeps eight running sums, so that eight additions are
   * under way at once, and the ranges' sums are added in order: the same bits for any number of
   * threads.
   */
  static double sumOfSquares(FloatBuffer values) {
    int n = values.limit();
    double[] partial = new double[(int) (((long) n + GRAIN - 1) / GRAIN)];
    Parallel.forRanges(
        n, GRAIN, (begin, end) -> partial[(int) (begin / GRAIN)] = squares(values, begin, end));
    return Arrays.stream(partial).reduce(0, Double::sum);
  }

  private static double squares(FloatBuffer values, long begin, long end) {
    float[] x = new float[CHUNK];
    double s0 = 0;
    double s1 = 0;
    double s2 = 0;
    double s3 = 0;
    double s4 = 0;
    double s5 = 0;
    double s6 = 0;
    double s7 = 0;
    for (int at = (int) begin; at < end; at += CHUNK) {
      int n = Math.min(CHUNK, (int) end - at);
      values.get(at, x, 0, n);
      Arrays.fill(x, n, (n + 7) & ~7, 0);
      for (int i = 0; i < n; i += 8) {
        s0 += (double) x[i] * x[i];
        s1 += (double) x[i + 1] * x[i + 1];
        s2 += (double) x[i + 2] * x[i + 2];
        s3 += (double) x[i + 3] * x[i + 3];
        s4 += (double) x[i + 4] * x[i + 4];
        s5 += (double) x[i + 5] * x[i + 5];
        s6 += (double) x[i + 6] * x[i + 6];
        s7 += (double) x[i + 7] * x[i + 7];
      }
    }
    return ((s0 + s1) + (s2 + s3)) + ((s4 + s5) + (s6 + s7));
  }
}
