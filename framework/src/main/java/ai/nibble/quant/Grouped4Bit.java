package ai.nibble.quant;

import ai.nibble.cuda.GroupedKernels;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Device;
import ai.nibble.tensor.Parallel;
import ai.nibble.tensor.Rows;
import ai.nibble.tensor.Scope;
import ai.nibble.tensor.Tensor;
import java.nio.ByteBuffer;

/**
 * A {@link GroupedMatrix} in codes of up to 4 bits, held in 4. Columns are held in an order in
 * which those of a group follow each other, so that a group is one or several blocks of {@link
 * Packed4Bit}.
 */
public final class Grouped4Bit implements GroupedMatrix, Packed4Bit {
  private static final int CODES = 16;

  private final String name;
  private final long out;
  private final int in;
  private final int blockSize;
  private final Tensor packed;
  private final Tensor scales;

  /** uint8 a block; null where all zeros are {@link #zero}. */
  private final Tensor zeros;

  private final int zero;

  /** The column that is held at each place; null where that is its own. */
  private final int[] order;

  /**
   * For kernels the place of each column, int32 {@code [in]}; null on the CPU and without order.
   */
  private final Tensor places;

  private Grouped4Bit(
      String name,
      long out,
      int in,
      int blockSize,
      Tensor packed,
      Tensor scales,
      Tensor zeros,
      int zero,
      int[] order,
      Tensor places) {
    this.name = name;
    this.out = out;
    this.in = in;
    this.blockSize = blockSize;
    this.packed = packed;
    this.scales = scales;
    this.zeros = zeros;
    this.zero = zero;
    this.order = order;
    this.places = places;
  }

  /** Whether a group of so many columns can be held. */
  public static boolean takes(int groupSize) {
    return groupSize % Quant4Config.MIN_BLOCK_SIZE == 0;
  }

  /**
   * Makes a matrix of codes as they are read.
   *
   * @param groups of a size that {@link #takes} is true of
   * @param codes from 0 to 15
   */
  public static Grouped4Bit of(String name, long out, ColumnGroups groups, CodeSource codes) {
    int in = groups.groupOf().length;
    int blockSize = Math.min(Integer.lowestOneBit(groups.size()), Quant4Config.MAX_BLOCK_SIZE);
    int[] order = groups.areConsecutive() ? null : groups.order();
    boolean sameZeros = areSame(groups.zeros());
    try (Scope scope = new Scope()) {
      Tensor packed = scope.empty(DType.UINT8, out * in / 2, 1);
      Tensor scales = scope.empty(DType.FLOAT32, out * (in / blockSize));
      Tensor zeros = sameZeros ? null : scope.empty(DType.UINT8, scales.numel());
      codes.forEachTile(
          out,
          in,
          (first, rows, tile) ->
              pack(tile, rows, in, order, packed.bytes(first * in / 2, rows * in / 2)));
      spread(groups, out, in / blockSize, scales, zeros);
      scope.release();
      int zero = sameZeros ? groups.zeros()[0] & 0xFF : 0;
      return new Grouped4Bit(name, out, in, blockSize, packed, scales, zeros, zero, order, null);
    }
  }

  @Override
  public Grouped4Bit to(Device target) {
    try (Scope made = new Scope()) {
      Grouped4Bit copy =
          new Grouped4Bit(
              name,
              out,
              in,
              blockSize,
              made.own(packed.to(target)),
              made.own(scales.to(target)),
              zeros == null ? null : made.own(zeros.to(target)),
              zero,
              order,
              target.isCpu() || order == null ? null : made.own(places(target)));
      made.release();
      return copy;
    }
  }

  /** The place of each column, int32 {@code [in]}; of ordered columns. The caller closes it. */
  Tensor places(Device device) {
    int[] placeOf = new int[in];
    for (int place = 0; place < in; place++) {
      placeOf[order[place]] = place;
    }
    return Tensor.ofInts(device, placeOf);
  }

  /**
   * As kernels take it; the tensors stay this weight's.
   *
   * @param columns as {@link #places} gives it, or null
   */
  GroupedKernels.Codes4 forKernels(Tensor columns) {
    return new GroupedKernels.Codes4(packed, blockSize, scales, zeros, zero, columns);
  }

  private static boolean areSame(byte[] zeros) {
    for (byte each : zeros) {
      if (each != zeros[0]) {
        return false;
      }
    }
    return true;
  }

  private static void pack(byte[] codes, int rows, int in, int[] order, ByteBuffer to) {
    byte[] bytes = new byte[in / 2];
    for (int r = 0; r < rows; r++) {
      int row = r * in;
      for (int k = 0; k < bytes.length; k++) {
        int high = codes[row + (order == null ? 2 * k : order[2 * k])];
        int low = codes[row + (order == null ? 2 * k + 1 : order[2 * k + 1])];
        bytes[k] = (byte) (high << 4 | low);
      }
      to.put(bytes);
    }
  }

  /** From groups by rows to blocks by columns. */
  private static void spread(
      ColumnGroups groups, long out, int blocksARow, Tensor scales, Tensor zeros) {
    int blocksAGroup = blocksARow / groups.count();
    var scaleBuffer = scales.floats();
    ByteBuffer zeroBuffer = zeros == null ? null : zeros.bytes(0, (int) zeros.numel());
    for (int o = 0; o < out; o++) {
      for (int b = 0; b < blocksARow; b++) {
        int from = (int) (b / blocksAGroup * out + o);
        int to = o * blocksARow + b;
        scaleBuffer.put(to, groups.scales()[from]);
        if (zeroBuffer != null) {
          zeroBuffer.put(to, groups.zeros()[from]);
        }
      }
    }
  }

  /** Whether columns are held in another order than their own. */
  boolean isOrdered() {
    return order != null;
  }

  @Override
  public String name() {
    return name;
  }

  @Override
  public long outFeatures() {
    return out;
  }

  @Override
  public long inFeatures() {
    return in;
  }

  @Override
  public Device device() {
    return packed.device();
  }

  @Override
  public int bits() {
    return 4;
  }

  @Override
  public long bytes() {
    return packed.byteSize()
        + scales.byteSize()
        + (zeros == null ? 0 : zeros.byteSize())
        + (places == null ? 0 : places.byteSize());
  }

  @Override
  public long numel() {
    return out * in;
  }

  @Override
  public Tensor packed() {
    return packed;
  }

  /** Integers, from which zeros that are all the same are subtracted already. */
  @Override
  public float[] codes() {
    float[] codes = new float[CODES];
    for (int c = 0; c < CODES; c++) {
      codes[c] = c - zero;
    }
    return codes;
  }

  @Override
  public int blockSize() {
    return blockSize;
  }

  @Override
  public Tensor scaleTensor() {
    return scales;
  }

  @Override
  public void scales(ByteBuffer window, long windowStart, int skip, float[] into, int n) {
    for (int b = 0; b < n; b++) {
      into[b] = window.getFloat((skip + b) * Float.BYTES);
    }
  }

  @Override
  public Tensor zeros() {
    return zeros;
  }

  @Override
  public void read(long first, float[] into, int offset, int count) {
    if (order == null) {
      try (Tensor values = Tensor.empty(DType.FLOAT32, count)) {
        Dequantizer4Bit.dequantize(this, first, values);
        values.floats().get(0, into, offset, count);
      }
      return;
    }
    float[] held = new float[in];
    float[] row = new float[in];
    try (Tensor values = Tensor.empty(DType.FLOAT32, in)) {
      for (int done = 0; done < count; ) {
        int column = (int) ((first + done) % in);
        int n = Math.min(in - column, count - done);
        Dequantizer4Bit.dequantize(this, first + done - column, values);
        values.floats().get(0, held);
        restore(held, row);
        System.arraycopy(row, column, into, offset + done, n);
        done += n;
      }
    }
  }

  /** From the order in which columns are held to their own. */
  private void restore(float[] held, float[] row) {
    for (int c = 0; c < in; c++) {
      row[order[c]] = held[c];
    }
  }

  @Override
  public void dequantize(Tensor destination, long firstRow, DType rounded) {
    if (!device().isCpu()) {
      try (Tensor rows = destination.narrow(0, firstRow, out);
          Tensor columns = rows.narrow(1, 0, in)) {
        GroupedKernels.dequantize(columns, forKernels(places));
      }
      return;
    }
    if (order == null && destination.size(1) == in && destination.dtype() == rounded) {
      try (Tensor rows = destination.narrow(0, firstRow, out)) {
        Dequantizer4Bit.dequantize(this, 0, rows);
      }
      return;
    }
    // A few rows at a time, so that they are still in the cache when they are put in their place.
    Parallel.forRanges(
        out,
        Rows.grain(in),
        (begin, end) -> {
          try (Tensor plain = Tensor.empty(rounded, end - begin, in)) {
            Dequantizer4Bit.dequantize(this, begin * in, plain);
            place(plain, destination, firstRow + begin);
          }
        });
  }

  private void place(Tensor plain, Tensor destination, long firstRow) {
    long n = plain.size(0);
    try (Rows from = Rows.reading(plain, 0, n);
        Rows to = Rows.writing(destination, firstRow, firstRow + n, 0, in)) {
      float[] held = new float[in];
      float[] row = order == null ? held : new float[in];
      for (long r = 0; r < n; r++) {
        from.load(r, held);
        if (order != null) {
          restore(held, row);
        }
        to.store(firstRow + r, row);
      }
    }
  }

  @Override
  public void close() {
    packed.close();
    scales.close();
    if (zeros != null) {
      zeros.close();
    }
    if (places != null) {
      places.close();
    }
  }

  /** Name, shape and bytes. */
  @Override
  public String toString() {
    return name + "[" + out + ", " + in + "] in 4-bit groups, " + bytes() + " bytes";
  }
}
