package ai.nibble.quant;

import ai.nibble.cuda.GroupedKernels;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Device;
import ai.nibble.tensor.Parallel;
import ai.nibble.tensor.Rows;
import ai.nibble.tensor.Scope;
import ai.nibble.tensor.Tensor;
import java.nio.ByteBuffer;
import java.nio.FloatBuffer;

/** A {@link GroupedMatrix} in codes of 8 bits, columns in their own order. */
public final class Grouped8Bit implements GroupedMatrix {
  private final String name;
  private final int in;
  private final int groups;
  private final int[] groupOf;
  private final Tensor codes;
  private final Tensor scales;
  private final Tensor zeros;

  /** For kernels {@link #groupOf}, int32 {@code [in]}; null on the CPU. */
  private final Tensor groupsOnDevice;

  private Grouped8Bit(
      String name,
      int[] groupOf,
      Tensor codes,
      Tensor scales,
      Tensor zeros,
      Tensor groupsOnDevice) {
    this.name = name;
    this.in = groupOf.length;
    this.groups = (int) scales.size(1);
    this.groupOf = groupOf;
    this.codes = codes;
    this.scales = scales;
    this.zeros = zeros;
    this.groupsOnDevice = groupsOnDevice;
  }

  /** Makes a matrix of codes, 0 to 255, as they are read. */
  public static Grouped8Bit of(String name, long out, ColumnGroups groups, CodeSource source) {
    int in = groups.groupOf().length;
    try (Scope scope = new Scope()) {
      Tensor codes = scope.empty(DType.UINT8, out, in);
      Tensor scales = scope.empty(DType.FLOAT32, out, groups.count());
      Tensor zeros = scope.empty(DType.UINT8, out, groups.count());
      source.forEachTile(
          out,
          in,
          (first, rows, tile) -> codes.bytes(first * in, rows * in).put(tile, 0, rows * in));
      FloatBuffer scaleBuffer = scales.floats();
      ByteBuffer zeroBuffer = zeros.bytes(0, (int) zeros.numel());
      for (int o = 0; o < out; o++) {
        for (int g = 0; g < groups.count(); g++) {
          scaleBuffer.put(o * groups.count() + g, groups.scales()[(int) (g * out + o)]);
          zeroBuffer.put(o * groups.count() + g, groups.zeros()[(int) (g * out + o)]);
        }
      }
      scope.release();
      return new Grouped8Bit(name, groups.groupOf().clone(), codes, scales, zeros, null);
    }
  }

  @Override
  public Grouped8Bit to(Device target) {
    try (Scope made = new Scope()) {
      Grouped8Bit copy =
          new Grouped8Bit(
              name,
              groupOf,
              made.own(codes.to(target)),
              made.own(scales.to(target)),
              made.own(zeros.to(target)),
              target.isCpu() ? null : made.own(Tensor.ofInts(target, groupOf)));
      made.release();
      return copy;
    }
  }

  /** The group of each column; a copy. */
  int[] groupOf() {
    return groupOf.clone();
  }

  /**
   * As kernels take it; the tensors stay this weight's.
   *
   * @param columns {@link #groupOf} as int32 {@code [in]}
   */
  GroupedKernels.Codes8 forKernels(Tensor columns) {
    return new GroupedKernels.Codes8(codes, scales, zeros, columns);
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
    return in;
  }

  @Override
  public Device device() {
    return codes.device();
  }

  @Override
  public int bits() {
    return 8;
  }

  @Override
  public long bytes() {
    return codes.byteSize()
        + scales.byteSize()
        + zeros.byteSize()
        + (groupsOnDevice == null ? 0 : groupsOnDevice.byteSize());
  }

  /** Row after row of values. */
  private final class Decoder {
    private final byte[] bytes = new byte[in];
    private final float[] rowScales = new float[groups];
    private final byte[] rowZeros = new byte[groups];

    void decode(long r, float[] row) {
      codes.bytes(r * in, in).get(bytes);
      scales.floats().get((int) r * groups, rowScales);
      zeros.bytes(r * groups, groups).get(rowZeros);
      for (int c = 0; c < in; c++) {
        int g = groupOf[c];
        row[c] = ((bytes[c] & 0xFF) - (rowZeros[g] & 0xFF)) * rowScales[g];
      }
    }
  }

  @Override
  public void read(long first, float[] into, int offset, int count) {
    Decoder decoder = new Decoder();
    float[] row = new float[in];
    for (int done = 0; done < count; ) {
      int column = (int) ((first + done) % in);
      int n = Math.min(in - column, count - done);
      decoder.decode((first + done) / in, row);
      System.arraycopy(row, column, into, offset + done, n);
      done += n;
    }
  }

  @Override
  public void dequantize(Tensor destination, long firstRow, DType rounded) {
    if (!device().isCpu()) {
      try (Tensor rows = destination.narrow(0, firstRow, outFeatures());
          Tensor columns = rows.narrow(1, 0, in)) {
        GroupedKernels.dequantize(columns, forKernels(groupsOnDevice));
      }
      return;
    }
    Parallel.forRanges(
        outFeatures(),
        Rows.grain(in),
        (begin, end) -> {
          Decoder decoder = new Decoder();
          float[] row = new float[in];
          try (Rows to = Rows.writing(destination, firstRow + begin, firstRow + end, 0, in)) {
            for (long r = begin; r < end; r++) {
              decoder.decode(r, row);
              rounded.round(row, 0, in);
              to.store(firstRow + r, row);
            }
          }
        });
  }

  @Override
  public void close() {
    codes.close();
    scales.close();
    zeros.close();
    if (groupsOnDevice != null) {
      groupsOnDevice.close();
    }
  }

  /** Name, shape and bytes. */
  @Override
  public String toString() {
    return name + "[" + outFeatures() + ", " + in + "] in 8-bit groups, " + bytes() + " bytes";
  }
}
