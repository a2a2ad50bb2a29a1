package ai.nibble.quant;

import ai.nibble.quant.vector.Dot512;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Tensor;
import java.nio.ByteBuffer;

/**
 * {@code y = x·Wᵀ} for a few rows x and a weight as it lies in 4 bits: the weight is read once,
 * half a byte an element, and its values exist in registers only. They are those of {@link
 * Quantized4Bit#dequantize}, and sums are float32.
 *
 * <p>Needs 512-bit registers and a JVM started with {@code --add-modules jdk.incubator.vector} (JDK
 * 17 to 25).
 */
public final class PackedProduct {
  /** Most rows for which this beats dequantising the weight for a matrix product. */
  public static final int MAX_ROWS = 8;

  /** Elements that the kernel takes at a time: it divides every block size. */
  static final int UNIT = Quant4Config.MIN_BLOCK_SIZE;

  /** Bytes of rows brought onto the heap at a time: they stay in the first-level cache. */
  private static final int CHUNK_BYTES = 4096;

  private static final boolean AVAILABLE =
      ModuleLayer.boot().findModule("jdk.incubator.vector").isPresent() && Dot512.isFast();

  /** Loaded with the first product that is made, once a process. */
  private static final class WarmUp {
    static {
      Dot512.warmUp();
    }

    static void once() {}
  }

  private final Packed4Bit weight;
  private final ByteBuffer codes;
  private final ByteBuffer scales;
  private final boolean round;
  private final int width;

  /** Binary logarithm of the units in a block. */
  private final int shift;

  /**
   * The first one of a process takes about a second, in which the kernels are compiled.
   *
   * @param matrix {@code [out, in]}, which {@link #takes} is true of; stays the caller's, and open
   *     for as long as this is used
   * @param dtype to which its values are rounded: float32 (that is, not) or bfloat16
   */
  public PackedProduct(QuantizedMatrix matrix, DType dtype) {
    if (!takes(matrix)) {
      throw new IllegalArgumentException(matrix + ": not for products with packed weights here");
    }
    if (dtype != DType.FLOAT32 && dtype != DType.BFLOAT16) {
      throw new IllegalArgumentException("no packed product in " + dtype.torchName());
    }
    WarmUp.once();
    this.weight = (Packed4Bit) matrix;
    Tensor scaleTensor = weight.scaleTensor();
    this.codes = weight.packed().bytes(0, (int) weight.packed().byteSize());
    this.scales = scaleTensor.bytes(0, (int) scaleTensor.byteSize());
    this.round = dtype == DType.BFLOAT16;
    this.width = (int) matrix.inFeatures();
    this.shift = Integer.numberOfTrailingZeros(weight.blockSize() / UNIT);
  }

  /** Whether this JVM on this machine computes such products. */
  public static boolean isAvailable() {
    return AVAILABLE;
  }

  /**
   * Whether it does so with this weight: 4 bits, blocks without zeros, columns in their own order,
   * rows of whole multiples of 32 elements, and codes below 2 GiB.
   */
  public static boolean takes(QuantizedMatrix matrix) {
    return AVAILABLE
        && matrix instanceof Packed4Bit weight
        && weight.zeros() == null
        && !(matrix instanceof Grouped4Bit grouped && grouped.isOrdered())
        && matrix.device().isCpu()
        && matrix.inFeatures() > 0
        && matrix.inFeatures() % UNIT == 0
        && weight.packed().byteSize() <= Integer.MAX_VALUE;
  }

  /**
   * Products with some rows of the weight, on the calling thread.
   *
   * @param begin first row of the weight
   * @param end after the last one
   * @param x of the weight's width
   * @param y {@code [x.rows, stride]}
   * @param column of y that the weight's first row goes to
   * @param stride elements of a row of y
   */
  public void multiply(long begin, long end, PackedInput x, float[] y, int column, int stride) {
    if (x.width() != width) {
      throw new IllegalArgumentException(weight.name() + ": an input of " + x.width());
    }
    new Range(begin, end).multiply(x, y, column, stride);
  }

  /** Some rows of the weight on their way through the kernel; one thread's. */
  private final class Range {
    private final long begin;
    private final long end;
    private final int units = width / UNIT;
    private final int rowBytes = width / 2;
    private final int chunk;
    private final byte[] packed;
    private final float[] rowScales;
    private final float[] sums = new float[Dot512.FOUR];
    private final Dot512 dot;

    Range(long begin, long end) {
      this.begin = begin;
      this.end = end;
      this.chunk = (int) Math.max(1, Math.min(end - begin, CHUNK_BYTES / rowBytes));
      this.packed = new byte[chunk * rowBytes + Dot512.SLACK];
      this.rowScales = new float[(chunk * units >> shift) + 2];
      this.dot = new Dot512(weight.codes(), round, shift, packed, rowScales);
    }

    /** The block in which a row begins. */
    private long block(long row) {
      return row * units >> shift;
    }

    private int blocks(long first, long last) {
      return (int) ((last * units - 1 >> shift) + 1 - block(first));
    }

    void multiply(PackedInput x, float[] y, int column, int stride) {
      for (long first = begin; first < end; first += chunk) {
        int n = (int) Math.min(chunk, end - first);
        codes.get((int) (first * rowBytes), packed, 0, n * rowBytes);
        weight.scales(scales, 0, (int) block(first), rowScales, blocks(first, first + n));
        for (int r = 0; r < n; r++) {
          int before = (int) ((first + r) * units - (block(first) << shift));
          multiply(r * rowBytes, before, x, y, column + (int) (first + r), stride);
        }
      }
    }

    private void multiply(int at, int before, PackedInput x, float[] y, int column, int stride) {
      if (x.rows() == 1) {
        y[column] = dot.one(at, units, before, x.values());
        return;
      }
      for (int r = 0; r < x.rows(); r += Dot512.FOUR) {
        dot.four(at, units, before, x.values(), r * width, sums);
        for (int k = 0; k < Math.min(Dot512.FOUR, x.rows() - r); k++) {
          y[(r + k) * stride + column] = sums[k];
        }
      }
    }
  }
}
