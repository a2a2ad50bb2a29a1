package ai.nibble.quant;

import ai.nibble.InvalidInputException;
import ai.nibble.cuda.Int8Kernels;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Device;
import ai.nibble.tensor.Float16;
import ai.nibble.tensor.Parallel;
import ai.nibble.tensor.Rows;
import ai.nibble.tensor.Scope;
import ai.nibble.tensor.Tensor;
import java.nio.ByteBuffer;
import java.nio.FloatBuffer;

/**
 * A weight in 8 bits by rows, as bitsandbytes stores it for LLM.int8(): codes {@code round(w · (127
 * / absmax))}, half to even, and one float32 absmax a row; {@code w = code · absmax / 127}.
 * Immutable, safe to read from several threads, and owner of its native memory until closed.
 */
public final class Quantized8Bit implements QuantizedMatrix {
  /** Longest row whose products with another are sure to fit an int32. */
  public static final long MAX_COLUMNS = Integer.MAX_VALUE / (127 * 127);

  private final String name;
  private final Tensor codes;
  private final Tensor absmax;

  private Quantized8Bit(String name, Tensor codes, Tensor absmax) {
    this.name = name;
    this.codes = codes;
    this.absmax = absmax;
  }

  /**
   * A weight from its stored parts, which it takes over: closing it closes them. Where this throws
   * they stay the caller's.
   *
   * @param name of the weight, for messages
   * @param codes int8 {@code [out, in]}, contiguous; stored as {@code weight}
   * @param absmax float32 {@code [out]}, contiguous, on the same device; stored as {@code SCB}
   * @throws InvalidInputException where the parts do not fit, or an absmax is NaN or infinite
   */
  public static Quantized8Bit of(String name, Tensor codes, Tensor absmax) {
    if (codes.dtype() != DType.INT8 || codes.dim() != 2 || !codes.isContiguous()) {
      throw damaged(name, "weight is " + codes, "a contiguous int8 matrix");
    }
    checkColumns(name, codes.size(1));
    if (absmax.dtype() != DType.FLOAT32
        || absmax.numel() != codes.size(0)
        || !absmax.isContiguous()
        || !absmax.device().equals(codes.device())) {
      throw damaged(
          name,
          "SCB is " + absmax,
          "a contiguous float32 tensor of " + codes.size(0) + " elements beside " + codes);
    }
    try (Tensor host = absmax.to(Device.CPU)) {
      float[] values = host.toFloats();
      for (int r = 0; r < values.length; r++) {
        if (!Float.isFinite(values[r])) {
          throw damaged(name, "SCB of row " + r + " is " + values[r], "a finite one");
        }
      }
    }
    return new Quantized8Bit(name, codes, absmax);
  }

  private static InvalidInputException damaged(String name, String seen, String expected) {
    return new InvalidInputException(
        "8-bit weight '"
            + name
            + "': "
            + seen
            + ", expected "
            + expected
            + ": the file is damaged or its scales belong to another weight");
  }

  private static void checkColumns(String name, long columns) {
    if (columns > MAX_COLUMNS) {
      throw new InvalidInputException(
          "weight '"
              + name
              + "' has rows of "
              + columns
              + ", expected at most "
              + MAX_COLUMNS
              + " for int8, whose products are summed in 32 bits: leave it out with"
              + " llm_int8_skip_modules");
    }
  }

  /**
   * Quantises a weight as it is read, by rows, on all cores. Its values are rounded to float16
   * first, as bitsandbytes does it: the codes are those that it would store.
   *
   * @throws InvalidInputException for a value that is NaN, infinite or beyond float16's range
   */
  public static Quantized8Bit quantize(String name, long out, long in, ElementSource source) {
    checkColumns(name, in);
    int columns = (int) in;
    try (Scope scope = new Scope()) {
      Tensor codes = scope.empty(DType.INT8, out, in);
      Tensor absmax = scope.empty(DType.FLOAT32, out);
      Parallel.forRanges(
          out,
          Rows.grain(in),
          (begin, end) -> {
            int rows = (int) (end - begin);
            float[] values = new float[rows * columns];
            source.read(begin * columns, values, values.length);
            float[] row = new float[columns];
            byte[] bytes = new byte[columns];
            ByteBuffer to = codes.bytes(begin * columns, rows * columns);
            for (int r = 0; r < rows; r++) {
              System.arraycopy(values, r * columns, row, 0, columns);
              float max = roundToHalf(name, begin + r, row);
              Int8Rows.encode(row, ReferenceQuant8.scale(max), bytes);
              absmax.floats().put((int) begin + r, max);
              to.put(r * columns, bytes, 0, columns);
            }
          });
      scope.release();
      return new Quantized8Bit(name, codes, absmax);
    }
  }

  /** Rounds a row to float16 and returns its greatest magnitude. */
  private static float roundToHalf(String name, long r, float[] row) {
    float max = 0;
    for (int c = 0; c < row.length; c++) {
      float half = half(row[c]);
      float magnitude = Math.abs(half);
      if (!(magnitude < Float.POSITIVE_INFINITY)) {
        throw new InvalidInputException(
            "weight '"
                + name
                + "' holds "
                + row[c]
                + " at ["
                + r
                + ", "
                + c
                + "], expected finite values within float16's range (65504) for int8: "
                + (Float.isFinite(row[c])
                    ? "leave it out with llm_int8_skip_modules"
                    : "the checkpoint is damaged or was saved after training diverged; use an"
                        + " intact one"));
      }
      max = Math.max(max, magnitude);
      row[c] = half;
    }
    return max;
  }

  /** A value rounded to float16; most weights are stored so, or in bfloat16, and are so already. */
  private static float half(float value) {
    int bits = Float.floatToRawIntBits(value);
    int exponent = bits >>> 23 & 0xFF;
    boolean normal = exponent >= 113 && exponent <= 142; // 2⁻¹⁴ to 2¹⁵
    return normal && (bits & 0x1FFF) == 0 ? value : Float16.toFloat(Float16.of(value));
  }

  @Override
  public String name() {
    return name;
  }

  @Override
  public long outFeatures() {
    return codes.size(0);
  }

  @Override
  public long inFeatures() {
    return codes.size(1);
  }

  @Override
  public Device device() {
    return codes.device();
  }

  /** int8 {@code [out, in]}. Owned by this weight. */
  public Tensor codes() {
    return codes;
  }

  /** float32 {@code [out]}, what bitsandbytes calls SCB. Owned by this weight. */
  public Tensor absmax() {
    return absmax;
  }

  @Override
  public long bytes() {
    return codes.byteSize() + absmax.byteSize();
  }

  /** A copy on another device, which the caller closes. */
  public Quantized8Bit to(Device device) {
    try (Scope scope = new Scope()) {
      Tensor q = scope.own(codes.to(device));
      Tensor scales = scope.own(absmax.to(device));
      scope.release();
      return new Quantized8Bit(name, q, scales);
    }
  }

  /**
   * Some columns of this weight, which stays open meanwhile.
   *
   * @param columns int8 {@code [out, columns]}, the caller's
   */
  public Quantized8Bit withCodes(Tensor columns) {
    if (columns.size(0) != outFeatures()) {
      throw new IllegalArgumentException(name + ": " + columns + " is none of its columns");
    }
    return new Quantized8Bit(name, columns.share(), absmax.share());
  }

  /**
   * Writes the weight's values into the left columns of some rows of a matrix, on all cores, or by
   * a kernel that is queued.
   *
   * @param destination contiguous {@code [rows, width]} on the weight's device, float32, bfloat16
   *     or float16
   * @param firstRow row of the destination that takes the weight's first row
   * @param rounded dtype that values are rounded to before they are widened to the destination's
   */
  public void dequantize(Tensor destination, long firstRow, DType rounded) {
    if (device().isCpu()) {
      dequantizeHere(destination, firstRow, rounded);
      return;
    }
    try (Tensor plain = Tensor.empty(device(), rounded, outFeatures(), inFeatures());
        Tensor rows = destination.narrow(0, firstRow, outFeatures());
        Tensor columns = rows.narrow(1, 0, inFeatures())) {
      Int8Kernels.dequantize(codes, absmax, plain);
      columns.copyFrom(plain);
    }
  }

  private void dequantizeHere(Tensor destination, long firstRow, DType rounded) {
    int in = (int) inFeatures();
    FloatBuffer scales = absmax.floats();
    Parallel.forRanges(
        outFeatures(),
        Rows.grain(in),
        (begin, end) -> {
          ByteBuffer bytes = codes.bytes(begin * in, Math.toIntExact((end - begin) * in));
          byte[] q = new byte[in];
          float[] row = new float[in];
          float[] table = new float[256];
          try (Rows to = Rows.writing(destination, firstRow + begin, firstRow + end, 0, in)) {
            for (long r = begin; r < end; r++) {
              bytes.get((int) (r - begin) * in, q);
              fill(table, scales.get((int) r), rounded);
              for (int c = 0; c < in; c++) {
                row[c] = table[q[c] & 0xFF];
              }
              to.store(firstRow + r, row);
            }
          }
        });
  }

  /** The values of all codes: a row has more elements than there are codes. */
  private static void fill(float[] table, float absmax, DType rounded) {
    for (int code = -128; code < 128; code++) {
      table[code & 0xFF] = code * absmax / 127f;
    }
    rounded.round(table, 0, table.length);
  }

  @Override
  public void read(long first, float[] into, int offset, int count) {
    long in = inFeatures();
    FloatBuffer scales = absmax.floats();
    ByteBuffer bytes = codes.bytes(first, count);
    for (int i = 0; i < count; i++) {
      into[offset + i] = bytes.get(i) * scales.get((int) ((first + i) / in)) / 127f;
    }
  }

  @Override
  public void close() {
    codes.close();
    absmax.close();
  }

  /** Name, shape and bytes. */
  @Override
  public String toString() {
    return name + "[" + outFeatures() + ", " + inFeatures() + "] int8, " + bytes() + " bytes";
  }
}
