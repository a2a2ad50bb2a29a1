package ai.nibble.quant.stored;

import ai.nibble.InvalidInputException;
import ai.nibble.quant.CodeSource;
import ai.nibble.quant.ColumnGroups;
import ai.nibble.quant.Grouped4Bit;
import ai.nibble.quant.Grouped8Bit;
import ai.nibble.quant.GroupedMatrix;
import ai.nibble.safetensors.SafetensorsTensor;
import ai.nibble.safetensors.SafetensorsType;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Tensor;
import java.nio.ByteBuffer;
import java.nio.IntBuffer;
import java.util.List;
import java.util.Set;

/**
 * A matrix of integer codes with a scale and a zero a group of columns, in the four tensors of its
 * module: {@code qweight}, {@code qzeros}, {@code scales} and, where it has one, {@code g_idx}.
 * Subclasses know how integers lie in words.
 */
abstract class IntegerMatrix implements StoredMatrix {
  static final String QWEIGHT = ".qweight";
  static final String QZEROS = ".qzeros";
  static final String SCALES = ".scales";
  static final String G_IDX = ".g_idx";

  private static final Set<SafetensorsType> SCALE_TYPES =
      Set.of(SafetensorsType.F16, SafetensorsType.BF16, SafetensorsType.F32);

  final TensorParts tensors;
  final String module;
  final int bits;
  private final int groupSize;
  private final long out;
  private final long in;

  /**
   * @param qweight a tensor whose name ends in {@link #QWEIGHT}
   * @param groupSize columns of a group; −1: all
   * @param in columns, by the shape of qweight
   * @throws InvalidInputException if there are no scales, or groups do not divide the columns
   */
  IntegerMatrix(TensorParts tensors, String qweight, int bits, int groupSize, long in) {
    this.tensors = tensors;
    this.module = qweight.substring(0, qweight.length() - QWEIGHT.length());
    this.bits = bits;
    this.in = in;
    this.groupSize = groupSize == -1 ? Math.toIntExact(in) : groupSize;
    if (in % this.groupSize != 0) {
      throw new InvalidInputException(
          tensors.place(qweight)
              + " has "
              + in
              + " input features, expected a multiple of 'group_size', which is "
              + groupSize
              + ": use the configuration that belongs to these weights");
    }
    if (bits < 8 && !Grouped4Bit.takes(this.groupSize)) {
      throw new InvalidInputException(
          tensors.place(qweight)
              + " has groups of "
              + this.groupSize
              + " columns, expected a multiple of 32: use a model with larger groups");
    }
    this.out = rows();
  }

  /** Rows, by the scales, which must be there. */
  private long rows() {
    String scales = module + SCALES;
    List<Long> shape = tensors.has(scales) ? tensors.header(scales).shape() : List.of();
    if (shape.size() != 2 || !SCALE_TYPES.contains(tensors.header(scales).type())) {
      tensors.require(name(), scales, SafetensorsType.F16, List.of(List.of(groups(), 1L)));
    }
    long rows = shape.get(1);
    tensors.require(
        name(), scales, tensors.header(scales).type(), List.of(List.of(groups(), rows)));
    return rows;
  }

  /** How integers lie in a matrix of words, by type and shape. */
  final void requireWords(String suffix, long first, long second) {
    tensors.require(name(), module + suffix, SafetensorsType.I32, List.of(List.of(first, second)));
  }

  final long groups() {
    return in / groupSize;
  }

  final int groupSize() {
    return groupSize;
  }

  @Override
  public final String name() {
    return module + ".weight";
  }

  @Override
  public final long out() {
    return out;
  }

  @Override
  public final long in() {
    return in;
  }

  @Override
  public final int bits() {
    return bits == 8 ? 8 : 4;
  }

  /** Scales and zeros are a group's in each row; of 4 bits they are held for parts of a group. */
  @Override
  public final long scaleBytes() {
    long scales = out * groups();
    if (bits < 8) {
      scales *= groupSize / Math.min(Integer.lowestOneBit(groupSize), 4096);
    }
    return scales * (Float.BYTES + 1);
  }

  /** An int32 a column, of 4 bits where the file may say another order. */
  @Override
  public final long columnBytes() {
    return bits == 8 || tensors.has(module + G_IDX) ? in * Integer.BYTES : 0;
  }

  /** The group of each column. */
  abstract int[] groupOf();

  /** The zeros, {@code [groups, out]}. */
  abstract byte[] zeros();

  /**
   * Where codes are read.
   *
   * @param words qweight
   */
  abstract CodeSource codes(IntBuffer words);

  @Override
  public final GroupedMatrix read() {
    ColumnGroups groups =
        new ColumnGroups(groupSize, groupOf(), tensors.floats(module + SCALES), zeros());
    groups.check(name());
    SafetensorsTensor header = tensors.header(module + QWEIGHT);
    try (Tensor words = tensors.tensor(module + QWEIGHT, DType.INT32, header.dimensions())) {
      ByteBuffer bytes = words.bytes(0, Math.toIntExact(words.byteSize()));
      CodeSource codes = codes(bytes.asIntBuffer());
      return bits == 8
          ? Grouped8Bit.of(name(), out, groups, codes)
          : Grouped4Bit.of(name(), out, groups, codes);
    }
  }
}
