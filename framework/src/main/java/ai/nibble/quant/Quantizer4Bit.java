package ai.nibble.quant;

import ai.nibble.InvalidInputException;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Parallel;
import ai.nibble.tensor.Tensor;
import ai.nibble.tensor.TensorException;
import java.nio.ByteBuffer;
import java.nio.FloatBuffer;
import java.util.Arrays;

/**
 * Quantises one weight to 4 bits as its values arrive, in block-aligned ranges and any order, so
 * that no float copy of the whole weight is ever needed. The statistics of double quantisation
 * follow in {@link #finish}, when every absmax is known.
 *
 * <p>Ranges that do not overlap may be handed over by several threads; one large range is itself
 * worked on by all cores. The result depends on the values alone. Holds native memory until it is
 * finished or closed.
 */
public final class Quantizer4Bit implements AutoCloseable {
  /** Values on the heap at a time: a multiple of every block size, 16 KiB as float32 bits. */
  private static final int CHUNK = Quant4Config.MAX_BLOCK_SIZE;

  /** Values a parallel range, some 0.2 ms of work. */
  private static final long GRAIN = 16L * CHUNK;

  /** Values of a tensor behind one buffer: 1 GiB of float32. */
  private static final int WINDOW = 1 << 28;

  private final String name;
  private final Quant4Config config;
  private final DType dtype;
  private final long[] shape;
  private final long numel;
  private final CodeTable codes;
  private Tensor packed;
  private Tensor absmax;

  /**
   * @param name of the weight, for messages
   * @param config how to quantise
   * @param dtype to dequantise to by default: float32, bfloat16 or float16
   * @param shape of the weight, row-major
   * @throws InvalidInputException for another dtype, or a shape beyond what can be addressed
   */
  public Quantizer4Bit(String name, Quant4Config config, DType dtype, long... shape) {
    this.name = name;
    this.config = config;
    this.dtype = Quantized4Bit.checkDtype(name, dtype);
    this.shape = shape.clone();
    this.numel = Quantized4Bit.numel(name, shape);
    this.codes = CodeTable.of(config.type());
    this.packed = Tensor.empty(DType.UINT8, (numel + 1) / 2, 1);
    try {
      this.absmax = Tensor.empty(DType.FLOAT32, config.blocks(numel));
    } catch (TensorException e) {
      packed.close();
      throw e;
    }
    FloatBuffer scales = absmax.floats();
    while (scales.hasRemaining()) {
      scales.put(Float.NaN); // no block has this absmax: not yet seen
    }
  }

  /**
   * Quantises a whole weight, where it lies.
   *
   * @param weight contiguous, float32, bfloat16 or float16; stays the caller's
   * @throws InvalidInputException for another dtype, and for a NaN or infinite value
   */
  public static Quantized4Bit quantize(String name, Tensor weight, Quant4Config config) {
    if (!weight.device().isCpu()) {
      return DeviceQuantizer4Bit.quantize(name, weight, config);
    }
    try (Quantizer4Bit q = new Quantizer4Bit(name, config, weight.dtype(), weight.shape())) {
      q.accept(0, weight);
      return q.finish();
    }
  }

  /**
   * Takes the values from element {@code begin} on.
   *
   * @param begin a multiple of the block size
   * @param values contiguous, on the CPU, float32, bfloat16 or float16; as many as a multiple of
   *     the block size, unless they end the weight
   * @throws InvalidInputException for another dtype, and for a NaN or infinite value
   */
  public void accept(long begin, Tensor values) {
    DType valueType = Quantized4Bit.checkDtype(name, values.dtype());
    checkRange(begin, values.numel());
    for (long from = 0; from < values.numel(); from += WINDOW) {
      int n = (int) Math.min(WINDOW, values.numel() - from);
      ByteBuffer bytes = values.bytes(from * valueType.bytes(), n * valueType.bytes());
      quantize(begin + from, n, FloatSource.of(bytes, valueType));
    }
  }

  /**
   * Takes the values from element {@code begin} on, as {@link #accept(long, Tensor)} does.
   *
   * @param values little-endian values between position and limit; neither moves
   * @param valueType float32, bfloat16 or float16
   */
  public void accept(long begin, ByteBuffer values, DType valueType) {
    Quantized4Bit.checkDtype(name, valueType);
    if (values.remaining() % valueType.bytes() != 0) {
      throw new IllegalArgumentException(
          values.remaining() + " bytes are no whole number of " + valueType.torchName());
    }
    int n = values.remaining() / valueType.bytes();
    checkRange(begin, n);
    quantize(begin, n, FloatSource.of(values, valueType));
  }

  /** Takes {@code values[0, count)} from element {@code begin} on. */
  public void accept(long begin, float[] values, int count) {
    if (count > values.length) {
      throw new IllegalArgumentException(count + " of " + values.length + " values");
    }
    checkRange(begin, count);
    quantize(begin, count, FloatSource.of(values));
  }

  private void checkRange(long begin, long n) {
    if (packed == null) {
      throw new IllegalStateException(name + ": already finished or closed");
    }
    int blockSize = config.blockSize();
    boolean aligned = begin % blockSize == 0 && (n % blockSize == 0 || begin + n == numel);
    if (begin < 0 || n < 0 || n > numel - begin || !aligned) {
      throw new IllegalArgumentException(
          name
              + ": ["
              + begin
              + ", "
              + (begin + n)
              + ") is no range of blocks of "
              + blockSize
              + " in "
              + numel
              + " elements");
    }
  }

  private void quantize(long begin, int count, FloatSource source) {
    Parallel.forRanges(
        count, GRAIN, (from, to) -> quantizeRange(begin, (int) from, (int) to, source));
  }

  private void quantizeRange(long begin, int from, int to, FloatSource source) {
    int blockSize = config.blockSize();
    long first = begin + from;
    long firstBlock = first / blockSize;
    int blocks = (int) config.blocks(to - from);
    ByteBuffer packedBytes = packed.bytes(first / 2, (to - from + 1) / 2);
    FloatBuffer scales =
        absmax.bytes(firstBlock * Float.BYTES, blocks * Float.BYTES).asFloatBuffer();
    if (!Float.isNaN(scales.get(0))) {
      throw new IllegalStateException(name + ": block " + firstBlock + " was handed over twice");
    }
    int[] bits = new int[CHUNK];
    byte[] bytes = new byte[CHUNK / 2];
    for (int at = from; at < to; at += CHUNK) {
      int n = Math.min(CHUNK, to - at);
      source.load(at, n, bits);
      for (int b = 0; b < n; b += blockSize) {
        int end = Math.min(n, b + blockSize);
        float scale = blockAbsmax(bits, b, end, begin + at);
        boolean full = end - b == blockSize;
        // bitsandbytes guards the division thus, and stores what it divided a short block by.
        float divisor = Math.max(scale, 1e-38f);
        codes.pack(bits, b, end, divisor, full, bytes);
        scales.put((at - from + b) / blockSize, full ? scale : divisor);
      }
      packedBytes.put((at - from) / 2, bytes, 0, (n + 1) / 2);
    }
  }

  /** Bit patterns without their sign order as the magnitudes do, infinity and NaN above all. */
  private float blockAbsmax(int[] bits, int begin, int end, long chunk) {
    int max = 0;
    for (int k = begin; k < end; k++) {
      max = Math.max(max, bits[k] & 0x7FFFFFFF);
    }
    if (max >= 0x7F800000) {
      int k = begin;
      while ((bits[k] & 0x7FFFFFFF) < 0x7F800000) {
        k++;
      }
      throw new InvalidInputException(
          "weight '"
              + name
              + "' "
              + Arrays.toString(shape)
              + " holds "
              + Float.intBitsToFloat(bits[k])
              + " at element "
              + (chunk + k)
              + ", expected finite values: the checkpoint is damaged or was saved after training"
              + " diverged; use an intact one");
    }
    return Float.intBitsToFloat(max);
  }

  /**
   * The quantised weight, which the caller closes. The quantizer is used up.
   *
   * @throws IllegalStateException where some block was never handed over
   */
  public Quantized4Bit finish() {
    if (packed == null) {
      throw new IllegalStateException(name + ": already finished or closed");
    }
    int blocks = (int) config.blocks(numel);
    FloatBuffer scales = absmax.floats();
    for (int b = 0; b < blocks; b++) {
      if (Float.isNaN(scales.get(b))) {
        throw new IllegalStateException(name + ": block " + b + " was never handed over");
      }
    }
    NestedAbsmax nested = null;
    if (config.doubleQuant()) {
      Tensor indices = Tensor.empty(DType.UINT8, blocks);
      nested = NestedAbsmax.quantize(scales, indices.bytes(0, blocks));
      absmax.close();
      absmax = indices;
    }
    Quantized4Bit result = new Quantized4Bit(name, config, dtype, shape, packed, absmax, nested);
    packed = null;
    absmax = null;
    return result;
  }

  /** Frees what was not finished. */
  @Override
  public void close() {
    if (packed != null) {
      packed.close();
      absmax.close();
      packed = null;
      absmax = null;
    }
  }
}
