package ai.nibble.cuda;

import ai.nibble.tensor.CudaProgram;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Device;
import ai.nibble.tensor.Grid;
import ai.nibble.tensor.Tensor;
import ai.nibble.tensor.TensorException;

/**
 * A 4-bit weight as it lies on a device, and the kernels that read it. Element 2k of the flat
 * weight is the high nibble of byte k. The tensors stay their owner's.
 *
 * @param code what the codes stand for
 * @param blockSize elements that share an absmax: a power of two from 32 to 4096
 * @param numel elements of the weight
 * @param packed uint8, ceil(numel / 2) elements
 * @param absmax float32 [blocks], or with {@code nested} uint8 [blocks]
 * @param nested the second level of double quantisation, or null
 */
public record Weight4(
    Code4 code, int blockSize, long numel, Tensor packed, Tensor absmax, NestedTables nested) {
  /** Most rows of x that {@link #multiply} takes. */
  public static final int MAX_ROWS = 8;

  static final CudaProgram DEQUANTIZE =
      CudaProgram.of(Weight4.class, "types.cuh", "codes4.cuh", "dequantize4.cu");
  static final CudaProgram PRODUCT =
      CudaProgram.of(Weight4.class, "types.cuh", "codes4.cuh", "product4.cu");

  // As in dequantize4.cu.
  private static final int STEPS = 4;
  private static final int THREADS = 128;

  // As in product4.cu.
  private static final int TILE_ROWS = 16;
  private static final int CHUNK_COLUMNS = 128;
  private static final int MAX_WARPS = 16;
  private static final int UNIT = 32;
  private static final int ANY_WARPS = 8;
  private static final int WARP = 32;

  /**
   * @throws TensorException where the parts do not fit each other
   */
  public Weight4 {
    checkBlockSize(blockSize);
    Device device = packed.device();
    long blocks = blocks(numel, blockSize);
    Operands.vector("packed", packed, DType.UINT8, Operands.ceilDiv(numel, 2), device);
    DType statistic = nested == null ? DType.FLOAT32 : DType.UINT8;
    Operands.vector("absmax", absmax, statistic, blocks, device);
    if (nested != null) {
      nested.check(device, blocks);
    }
  }

  static void checkBlockSize(int blockSize) {
    if (Integer.bitCount(blockSize) != 1 || blockSize < 32 || blockSize > 4096) {
      throw new TensorException(
          "block size is " + blockSize + ", expected a power of two from 32 to 4096");
    }
  }

  static long blocks(long numel, int blockSize) {
    return Operands.ceilDiv(numel, blockSize);
  }

  /** Where the weight is. */
  public Device device() {
    return packed.device();
  }

  /**
   * Queues the dequantisation of a run of the flat weight: each value is its code's times its
   * block's absmax in float32, rounded to nearest even. With rows that lie apart, what is between
   * them stays: {@code [W | s·B]} takes W so.
   *
   * @param out float32, bfloat16 or float16, contiguous, or [rows, columns] with contiguous rows;
   *     fastest where rows begin at multiples of 16 bytes
   * @param begin first element, which may lie inside a block; fastest at multiples of 8
   * @throws TensorException where {@code out} does not fit
   */
  public void dequantize(Tensor out, long begin) {
    String suffix = Operands.suffix(out);
    if (begin < 0 || begin > numel || out.numel() > numel - begin) {
      throw new TensorException(
          "elements ["
              + begin
              + ", "
              + (begin + out.numel())
              + ") of a weight of "
              + numel
              + " elements");
    }
    boolean flat = out.isContiguous();
    long rows = flat ? 1 : out.size(0);
    long columns = flat ? out.numel() : out.size(-1);
    long stride = flat ? columns : Operands.rows("out", out, rows, columns, device());
    if (out.numel() == 0) {
      return;
    }
    int vector = 16 / out.dtype().bytes();
    boolean aligned = begin % vector == 0 && (rows == 1 || columns % vector == 0);
    long reach = columns + (aligned ? 0 : vector - 1); // a row may begin inside a step
    long chunks = Operands.ceilDiv(reach, (long) STEPS * THREADS * vector);
    DEQUANTIZE.launch(
        "dequantize4_" + suffix,
        device(),
        Grid.of(Operands.blocks(rows, chunks), THREADS),
        out,
        stride,
        packed,
        absmax,
        nested == null ? null : nested.absmax2(),
        nested == null ? null : nested.map(),
        nested == null ? 0f : nested.offset(),
        code.ordinal(),
        Integer.numberOfTrailingZeros(blockSize),
        numel,
        begin,
        columns,
        (int) chunks);
  }

  /**
   * Queues {@code y = x·Wᵀ} for a few rows of x, reading the weight as it is. Its values are those
   * of {@link #dequantize} to the dtype of x, sums are float32 in a fixed order.
   *
   * @param y [batch, out], of the dtype of x, with contiguous rows
   * @param x [batch, in], float32, bfloat16 or float16, with contiguous rows, batch at most {@link
   *     #MAX_ROWS}; fast in bfloat16 and float16 where {@code in} is a multiple of 32 and rows
   *     begin at multiples of 16 bytes
   * @throws TensorException where the shapes do not fit
   */
  public void multiply(Tensor y, Tensor x) {
    String suffix = Operands.suffix(x);
    if (x.dim() != 2 || x.size(0) < 1 || x.size(0) > MAX_ROWS || y.dtype() != x.dtype()) {
      throw new TensorException(
          "x is " + x + ", y " + y + ", expected 1 to " + MAX_ROWS + " rows of one dtype");
    }
    long batch = x.size(0);
    long in = x.size(1);
    if (in < 1 || numel % in != 0) {
      throw new TensorException("x is " + x + " for a weight of " + numel + " elements");
    }
    long out = numel / in;
    long xStride = Operands.rows("x", x, batch, in, device());
    long yStride = Operands.rows("y", y, batch, out, device());
    boolean tensorCores =
        x.dtype() != DType.FLOAT32 && in % UNIT == 0 && (batch == 1 || xStride % 8 == 0);
    int warps = (int) Math.min(MAX_WARPS, Operands.ceilDiv(in, CHUNK_COLUMNS));
    Grid grid =
        tensorCores
            ? Grid.covering(out, TILE_ROWS, WARP * warps)
            : Grid.covering(out, ANY_WARPS, WARP * ANY_WARPS);
    PRODUCT.launch(
        (tensorCores ? "product4_" : "product4_any_") + suffix,
        device(),
        grid,
        y,
        yStride,
        x,
        xStride,
        (int) batch,
        packed,
        absmax,
        nested == null ? null : nested.absmax2(),
        nested == null ? null : nested.map(),
        nested == null ? 0f : nested.offset(),
        code.ordinal(),
        Integer.numberOfTrailingZeros(blockSize),
        out,
        in);
  }
}
