package ai.nibble.cuda;

import ai.nibble.cuda.composed.Weights4;
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
  private static final String NAME = "4-bit weight";

  /** Most rows of x that {@link #multiply} takes. */
  public static final int MAX_ROWS = 8;

  static final CudaProgram DEQUANTIZE =
      CudaProgram.of(Weight4.class, "types.cuh", "codes4.cuh", "dequantize4.cu")
          .composedAs(Weights4.DEQUANTIZE);
  static final CudaProgram PRODUCT =
      CudaProgram.of(Weight4.class, "types.cuh", "codes4.cuh", "product4.cu")
          .composedAs(Weights4.PRODUCT);

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
    checkBlockSize(NAME, blockSize);
    long blocks = blocks(numel, blockSize);
    Operands operands =
        Operands.on(NAME, packed.device())
            .flat("packed", packed, DType.UINT8, numel / 2 + numel % 2)
            .flat("absmax", absmax, nested == null ? DType.FLOAT32 : DType.UINT8, blocks);
    if (nested != null) {
      nested.check(operands, blocks);
    }
  }

  static void checkBlockSize(String operation, int blockSize) {
    if (Integer.bitCount(blockSize) != 1 || blockSize < 32 || blockSize > 4096) {
      throw new TensorException(
          operation + ": block size is " + blockSize + ", expected a power of two from 32 to 4096");
    }
  }

  static long blocks(long numel, int blockSize) {
    return numel / blockSize + (numel % blockSize == 0 ? 0 : 1);
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
    boolean flat = out.isContiguous();
    boolean rowsApart = out.dim() == 2 && out.stride(1) == 1 && out.stride(0) >= out.size(1);
    Operands operands =
        Operands.strided("dequantize", "out", out, flat || rowsApart, "contiguous rows")
            .on("out", out, device());
    if (begin < 0 || begin > numel || out.numel() > numel - begin) {
      throw operands.wrong("out", out, "at most elements " + begin + " to " + numel);
    }
    if (out.numel() == 0) {
      return;
    }
    long rows = flat ? 1 : out.size(0);
    long columns = flat ? out.numel() : out.size(1);
    int vector = 16 / out.dtype().bytes();
    boolean aligned = begin % vector == 0 && (rows == 1 || columns % vector == 0);
    long reach = columns + (aligned ? 0 : vector - 1); // a row may begin inside a step
    long perBlock = (long) STEPS * THREADS * vector;
    long chunks = (reach + perBlock - 1) / perBlock;
    operands.launchTyped(
        DEQUANTIZE,
        "dequantize4",
        Grid.of(Math.multiplyExact(rows, chunks), THREADS),
        out,
        flat ? columns : out.stride(0),
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
    Operands operands =
        Operands.strided("multiply", "x", x, hasRows(x), "contiguous rows").on("x", x, device());
    long batch = x.size(0);
    long in = x.size(1);
    if (batch < 1 || batch > MAX_ROWS || in < 1 || numel % in != 0) {
      throw operands.wrong(
          "x", x, "1 to " + MAX_ROWS + " rows, whose width divides " + numel + " elements");
    }
    long out = numel / in;
    Operands result = Operands.strided("multiply", "y", y, hasRows(y), "contiguous rows");
    if (y.dtype() != x.dtype() || y.size(0) != batch || y.size(1) != out) {
      throw result.wrong("y", y, x.dtype().torchName() + "[" + batch + ", " + out + "]");
    }
    result.on("y", y, device());
    boolean tensorCores = x.dtype() != DType.FLOAT32 && in % UNIT == 0 && x.stride(0) % 8 == 0;
    int warps = (int) Math.min(MAX_WARPS, (in + CHUNK_COLUMNS - 1) / CHUNK_COLUMNS);
    Grid grid =
        tensorCores
            ? Grid.covering(out, TILE_ROWS, WARP * warps)
            : Grid.covering(out, ANY_WARPS, WARP * ANY_WARPS);
    operands.launchTyped(
        PRODUCT,
        tensorCores ? "product4" : "product4_any",
        grid,
        y,
        y.stride(0),
        x,
        x.stride(0),
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

  /** Whether it is a matrix whose rows are contiguous, however far apart they are. */
  private static boolean hasRows(Tensor t) {
    return t.dim() == 2 && (t.stride(1) == 1 || t.size(1) == 1) && t.stride(0) >= t.size(1);
  }
}
