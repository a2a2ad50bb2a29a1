package ai.nibble.quant;

import ai.nibble.tensor.DType;
import ai.nibble.tensor.Parallel;
import ai.nibble.tensor.Rows;
import ai.nibble.tensor.Tensor;
import ai.nibble.tensor.TensorException;
import java.nio.ByteBuffer;
import java.nio.FloatBuffer;

/**
 * Row-wise int8 on the CPU, on all cores: what {@link ai.nibble.cuda.Int8Kernels} does on a GPU, to
 * the same bits.
 */
public final class Int8Rows {
  /**
   * Added to a float32 below 2²² in magnitude, it leaves the number rounded half to even in the low
   * bits, and its low byte is that of the two's complement.
   */
  private static final float ROUND = 0x1.8p23f;

  private Int8Rows() {}

  /**
   * Quantises activations, leaving outliers out: a value of magnitude {@code threshold} or more, or
   * a NaN, does not count for its row's absmax, and the columns that hold one are zero in all rows.
   * Without a threshold a row with a NaN has that as its absmax.
   *
   * @param in contiguous {@code [rows, columns]}, float32 or bfloat16
   * @param q receives int8 {@code [rows, columns]}
   * @param absmax receives float32 {@code [rows]}
   * @param outliers receives uint8 {@code [columns]}, 1 where a column is left out; null where the
   *     threshold is 0
   * @param threshold 0 for no outliers
   */
  public static void quantize(
      Tensor in, Tensor q, Tensor absmax, Tensor outliers, float threshold) {
    int columns = (int) in.size(1);
    require("q", q, DType.INT8, in.numel());
    require("absmax", absmax, DType.FLOAT32, in.size(0));
    byte[] left = new byte[columns];
    Parallel.forRanges(
        in.size(0),
        Rows.grain(columns),
        (begin, end) -> quantizeRange(in, q, absmax.floats(), left, threshold, begin, end));
    if (threshold > 0) {
      require("outliers", outliers, DType.UINT8, columns);
      outliers.bytes(0, columns).put(left);
      zeroColumns(q, in.size(0), left);
    }
  }

  private static void quantizeRange(
      Tensor in, Tensor q, FloatBuffer absmax, byte[] left, float threshold, long begin, long end) {
    int columns = left.length;
    int limit = threshold > 0 ? Float.floatToRawIntBits(threshold) : Integer.MAX_VALUE;
    ByteBuffer codes = q.bytes(begin * columns, Math.toIntExact((end - begin) * columns));
    float[] row = new float[columns];
    byte[] bytes = new byte[columns];
    try (Rows rows = Rows.reading(in, begin, end)) {
      for (long r = begin; r < end; r++) {
        rows.load(r, row);
        float max = Float.intBitsToFloat(greatestBelow(row, limit));
        absmax.put((int) r, max);
        encode(row, ReferenceQuant8.scale(max), bytes);
        if (limit != Integer.MAX_VALUE) {
          markOutliers(row, limit, left);
        }
        codes.put((int) (r - begin) * columns, bytes, 0, columns);
      }
    }
  }

  /** Bit patterns without their sign order as the magnitudes do, infinity and NaN above all. */
  private static int greatestBelow(float[] row, int limit) {
    int max = 0;
    for (float x : row) {
      int magnitude = Float.floatToRawIntBits(x) & 0x7FFFFFFF;
      max = magnitude < limit ? Math.max(max, magnitude) : max;
    }
    return max;
  }

  /** Codes of a row; of what is beyond its absmax (an outlier) any, as it will be zeroed. */
  static void encode(float[] row, float scale, byte[] codes) {
    for (int c = 0; c < codes.length; c++) {
      codes[c] = (byte) Float.floatToRawIntBits(row[c] * scale + ROUND);
    }
  }

  /** Whichever thread comes, it writes the same value. */
  private static void markOutliers(float[] row, int limit, byte[] left) {
    for (int c = 0; c < row.length; c++) {
      if ((Float.floatToRawIntBits(row[c]) & 0x7FFFFFFF) >= limit) {
        left[c] = 1;
      }
    }
  }

  private static void zeroColumns(Tensor q, long rows, byte[] left) {
    for (int c = 0; c < left.length; c++) {
      if (left[c] != 0) {
        int column = c;
        Parallel.forRanges(
            rows,
            Rows.grain(left.length),
            (begin, end) -> {
              ByteBuffer codes = q.bytes(begin * left.length, (int) (end - begin) * left.length);
              for (int r = 0; r < end - begin; r++) {
                codes.put(r * left.length + column, (byte) 0);
              }
            });
      }
    }
  }

  /**
   * {@code y[r, c] = sums[r, c] / 127² · rowAbsmax[r] · columnAbsmax[c]} in float32 from left to
   * right, with 1 / 127² as bitsandbytes writes it.
   *
   * @param sums int32 {@code [rows, columns]}, contiguous
   * @param rowAbsmax float32 {@code [rows]}, of the activations
   * @param columnAbsmax float32 {@code [columns]}, of the weight's rows
   * @param y receives float32 or bfloat16 {@code [rows, columns]}, contiguous
   */
  public static void recover(Tensor sums, Tensor rowAbsmax, Tensor columnAbsmax, Tensor y) {
    int columns = (int) y.size(1);
    require("sums", sums, DType.INT32, y.numel());
    require("rowAbsmax", rowAbsmax, DType.FLOAT32, y.size(0));
    require("columnAbsmax", columnAbsmax, DType.FLOAT32, columns);
    float[] scales = columnAbsmax.toFloats();
    Parallel.forRanges(
        y.size(0),
        Rows.grain(columns),
        (begin, end) -> {
          int unit = DType.INT32.bytes();
          ByteBuffer window =
              sums.bytes(begin * columns * unit, Math.toIntExact((end - begin) * columns * unit));
          int[] sum = new int[columns];
          float[] row = new float[columns];
          try (Rows to = Rows.writing(y, begin, end)) {
            for (long r = begin; r < end; r++) {
              window.asIntBuffer().get((int) (r - begin) * columns, sum);
              float scale = rowAbsmax.floats().get((int) r);
              for (int c = 0; c < columns; c++) {
                row[c] = sum[c] * ReferenceQuant8.RECOVERY * scale * scales[c];
              }
              to.store(r, row);
            }
          }
        });
  }

  private static void require(String name, Tensor tensor, DType dtype, long numel) {
    if (tensor == null
        || tensor.dtype() != dtype
        || tensor.numel() != numel
        || !tensor.isContiguous()) {
      throw new TensorException(
          "int8 rows: "
              + name
              + " is "
              + tensor
              + ", expected a contiguous "
              + dtype.torchName()
              + " tensor of "
              + numel
              + " elements");
    }
  }
}
