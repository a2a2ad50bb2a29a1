package ai.nibble.quant;

import ai.nibble.InvalidInputException;
import ai.nibble.cuda.NestedTables;
import ai.nibble.cuda.Weight4;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Device;
import ai.nibble.tensor.Scope;
import ai.nibble.tensor.Tensor;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.Optional;

/**
 * A weight in 4 bits: packed codes and block statistics, as bitsandbytes stores them (see the
 * package page for the bytes). Immutable, safe to read from several threads, and owner of its
 * native memory until closed.
 */
public final class Quantized4Bit implements QuantizedMatrix, Packed4Bit {
  /** Blocks whose absmax fit one buffer as float32. */
  private static final long MAX_BLOCKS = Integer.MAX_VALUE / Float.BYTES;

  private final String name;
  private final Quant4Config config;
  private final DType dtype;
  private final long[] shape;
  private final long numel;
  private final Tensor packed;
  private final Tensor absmax;
  private final NestedAbsmax nested;

  /** The second level on the device, where it is not the CPU. */
  private final NestedTables tables;

  Quantized4Bit(
      String name,
      Quant4Config config,
      DType dtype,
      long[] shape,
      Tensor packed,
      Tensor absmax,
      NestedAbsmax nested) {
    this.name = name;
    this.config = config;
    this.dtype = dtype;
    this.shape = shape.clone();
    this.numel = numel(name, shape);
    this.packed = packed;
    this.absmax = absmax;
    this.nested = nested;
    this.tables = nested == null || packed.device().isCpu() ? null : nested.to(packed.device());
  }

  /**
   * A weight from its stored parts, which it takes over: closing it closes them. Where this throws
   * they stay the caller's.
   *
   * @param name of the weight, for messages
   * @param dtype to dequantise to by default: float32, bfloat16 or float16
   * @param shape of the weight, row-major
   * @param packed uint8, contiguous, of any shape with ceil(n / 2) elements
   * @param absmax float32 [blocks], or with {@code nested} uint8 [blocks]; contiguous, on the
   *     device of {@code packed}
   * @param nested the second level, or null where {@code config} says there is none
   * @throws InvalidInputException where the parts do not fit the shape, or an absmax is NaN or
   *     infinite
   */
  public static Quantized4Bit of(
      String name,
      Quant4Config config,
      DType dtype,
      long[] shape,
      Tensor packed,
      Tensor absmax,
      NestedAbsmax nested) {
    checkDtype(name, dtype);
    long numel = numel(name, shape);
    long blocks = config.blocks(numel);
    Device device = packed.device();
    checkPart(name, "weight", packed, DType.UINT8, (numel + 1) / 2, device, shape);
    DType absmaxType = config.doubleQuant() ? DType.UINT8 : DType.FLOAT32;
    checkPart(name, "absmax", absmax, absmaxType, blocks, device, shape);
    long expected =
        config.doubleQuant() ? (blocks + NestedAbsmax.BLOCK_SIZE - 1) / NestedAbsmax.BLOCK_SIZE : 0;
    int seen = nested == null ? 0 : nested.blocks();
    if (seen != expected || config.doubleQuant() != (nested != null)) {
      throw damaged(
          name,
          "nested_absmax",
          "has " + seen + " values",
          expected + " for " + blocks + " blocks");
    }
    Quantized4Bit weight = new Quantized4Bit(name, config, dtype, shape, packed, absmax, nested);
    try {
      weight.checkFinite(blocks);
    } catch (InvalidInputException e) {
      weight.closeTables();
      throw e;
    }
    return weight;
  }

  /** Refuses statistics that would put a NaN or an infinity into the weight. */
  private void checkFinite(long blocks) {
    float[] some = new float[4096];
    for (long at = 0; at < blocks; at += some.length) {
      int n = (int) Math.min(some.length, blocks - at);
      float[] values = n == some.length ? some : new float[n];
      absmax(at, values);
      for (int b = 0; b < n; b++) {
        if (!Float.isFinite(values[b])) {
          throw damaged(
              name, "absmax", "of block " + (at + b) + " is " + values[b], "a finite one");
        }
      }
    }
  }

  static DType checkDtype(String name, DType dtype) {
    if (dtype != DType.FLOAT32 && dtype != DType.BFLOAT16 && dtype != DType.FLOAT16) {
      throw new InvalidInputException(
          "weight '"
              + name
              + "' is "
              + dtype.torchName()
              + ", expected float32, bfloat16 or float16 for 4-bit quantisation:"
              + " leave it out of the quantised modules");
    }
    return dtype;
  }

  /** Number of elements, refused where it is no number or its blocks cannot be addressed. */
  static long numel(String name, long[] shape) {
    long n = 1;
    boolean fits = true;
    for (long size : shape) {
      fits &= size >= 0 && (size == 0 || n <= Long.MAX_VALUE / size);
      n *= size;
    }
    if (!fits || n > MAX_BLOCKS * Quant4Config.MIN_BLOCK_SIZE) {
      throw new InvalidInputException(
          "weight '"
              + name
              + "' has shape "
              + Arrays.toString(shape)
              + ", expected sizes from 0 and at most "
              + MAX_BLOCKS * Quant4Config.MIN_BLOCK_SIZE
              + " elements: the file is damaged or the weight must be split");
    }
    return n;
  }

  private static void checkPart(
      String name,
      String part,
      Tensor tensor,
      DType dtype,
      long numel,
      Device device,
      long[] shape) {
    if (tensor.dtype() != dtype
        || tensor.numel() != numel
        || !tensor.isContiguous()
        || !tensor.device().equals(device)) {
      throw damaged(
          name,
          part,
          "is " + tensor,
          "a contiguous "
              + dtype.torchName()
              + " tensor of "
              + numel
              + " elements on "
              + (device.isCpu() ? "the CPU" : device)
              + " for shape "
              + Arrays.toString(shape));
    }
  }

  private static InvalidInputException damaged(
      String name, String part, String seen, String expected) {
    return new InvalidInputException(
        "4-bit weight '"
            + name
            + "': "
            + part
            + " "
            + seen
            + ", expected "
            + expected
            + ": the file is damaged or its quantisation state belongs to another weight");
  }

  @Override
  public String name() {
    return name;
  }

  public Quant4Config config() {
    return config;
  }

  /** The dtype that the weight had and is dequantised to by default. */
  public DType dtype() {
    return dtype;
  }

  /** A copy of the weight's shape. */
  public long[] shape() {
    return shape.clone();
  }

  @Override
  public long outFeatures() {
    return shape[0];
  }

  /** Elements of a row; 1 where the weight is no matrix. */
  @Override
  public long inFeatures() {
    return shape.length == 2 ? shape[1] : 1;
  }

  /** Elements of the weight. */
  @Override
  public long numel() {
    return numel;
  }

  @Override
  public Device device() {
    return packed.device();
  }

  /** A copy on another device, which the caller closes. */
  public Quantized4Bit to(Device device) {
    try (Scope scope = new Scope()) {
      Tensor codes = scope.own(packed.to(device));
      Tensor statistics = scope.own(absmax.to(device));
      Quantized4Bit copy = new Quantized4Bit(name, config, dtype, shape, codes, statistics, nested);
      scope.release();
      return copy;
    }
  }

  /**
   * The weight as the kernels of its device take it, for what they offer beside {@link
   * #dequantize}. Its tensors stay this weight's.
   *
   * @throws IllegalStateException on the CPU
   */
  public Weight4 forKernels() {
    if (device().isCpu()) {
      throw new IllegalStateException(name + ": no kernels on the CPU");
    }
    return forKernels(tables);
  }

  Weight4 forKernels(NestedTables secondLevel) {
    return new Weight4(
        config.type().forKernels(), config.blockSize(), numel, packed, absmax, secondLevel);
  }

  /** The codes, two a byte: uint8 with ceil(n / 2) elements. Owned by this weight. */
  @Override
  public Tensor packed() {
    return packed;
  }

  /** float32 [blocks], or with {@link #nested} the uint8 [blocks] indices. Owned by this weight. */
  public Tensor absmax() {
    return absmax;
  }

  /** The second level of double quantisation, where there is one. */
  public Optional<NestedAbsmax> nested() {
    return Optional.ofNullable(nested);
  }

  /** Bytes of the codes and the statistics of both levels, without constant tables. */
  @Override
  public long bytes() {
    return packed.byteSize() + absmax.byteSize() + (nested == null ? 0 : nested.bytes());
  }

  /**
   * Dequantises the whole weight.
   *
   * @param out on the weight's device, float32, bfloat16 or float16, with {@link #numel} elements;
   *     contiguous on the CPU, elsewhere its rows may lie apart
   */
  public void dequantize(Tensor out) {
    if (out.numel() != numel) {
      throw new IllegalArgumentException(
          name + ": " + out + " for a weight of shape " + Arrays.toString(shape));
    }
    dequantize(0, out);
  }

  /**
   * Dequantises as many elements of the flattened weight as {@code out} holds, on all cores, or by
   * a kernel that is queued: each is its code's value times its block's absmax in float32, rounded
   * to nearest even. Fastest where {@code begin} is a multiple of 16.
   *
   * @param begin first element, which may lie inside a block; row r begins at r · row length
   * @param out as {@link #dequantize(Tensor)} takes it
   */
  public void dequantize(long begin, Tensor out) {
    checkDtype(name, out.dtype());
    if (begin < 0 || begin > numel || out.numel() > numel - begin) {
      throw new IllegalArgumentException(
          name + ": [" + begin + ", " + (begin + out.numel()) + ") of " + numel + " elements");
    }
    if (device().isCpu()) {
      Dequantizer4Bit.dequantize(this, begin, out);
    } else {
      forKernels().dequantize(out, begin);
    }
  }

  @Override
  public void read(long first, float[] into, int offset, int count) {
    try (Tensor values = Tensor.empty(DType.FLOAT32, count)) {
      dequantize(first, values);
      values.floats().get(0, into, offset, count);
    }
  }

  /**
   * The absmax of consecutive blocks.
   *
   * @param firstBlock first block
   * @param into receives one float32 a block
   */
  public void absmax(long firstBlock, float[] into) {
    int length = into.length * absmax.dtype().bytes();
    long offset = firstBlock * absmax.dtype().bytes();
    if (device().isCpu()) {
      scales(absmax.bytes(offset, length), firstBlock, 0, into, into.length);
      return;
    }
    try (Tensor flat = absmax.view(absmax.numel());
        Tensor part = flat.narrow(0, firstBlock, into.length);
        Tensor host = part.to(Device.CPU)) {
      scales(host.bytes(0, length), firstBlock, 0, into, into.length);
    }
  }

  @Override
  public float[] codes() {
    return config.type().codes();
  }

  @Override
  public int blockSize() {
    return config.blockSize();
  }

  @Override
  public Tensor scaleTensor() {
    return absmax;
  }

  @Override
  public Tensor zeros() {
    return null;
  }

  @Override
  public void scales(ByteBuffer window, long windowStart, int skip, float[] into, int n) {
    if (nested == null) {
      for (int b = 0; b < n; b++) {
        into[b] = window.getFloat((skip + b) * Float.BYTES);
      }
    } else {
      byte[] indices = new byte[n];
      window.get(skip, indices);
      nested.recover(windowStart + skip, indices, into, n);
    }
  }

  @Override
  public void close() {
    packed.close();
    absmax.close();
    closeTables();
  }

  private void closeTables() {
    if (tables != null) {
      tables.absmax2().close();
      tables.map().close();
    }
  }

  /** Name, shape, type, block size and bytes. */
  @Override
  public String toString() {
    return name
        + Arrays.toString(shape)
        + " "
        + config.type().key()
        + "/"
        + config.blockSize()
        + (config.doubleQuant() ? " double-quantised" : "")
        + ", "
        + bytes()
        + " bytes";
  }
}
