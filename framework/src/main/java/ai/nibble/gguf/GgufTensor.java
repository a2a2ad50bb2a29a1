package ai.nibble.gguf;

import java.util.List;

/**
 * One tensor of a GGUF file: where its blocks lie and how to read them.
 *
 * @param name as in the file, for example {@code blk.0.attn_q.weight}
 * @param type element type
 * @param shape row-major, slowest-varying first as Hugging Face writes it ({@code [out, in]}), the
 *     reverse of the file's order; up to 4 dimensions, empty for a scalar
 * @param position first byte, from the start of the file
 * @param bytes the blocks' length, without padding
 */
public record GgufTensor(String name, GgmlType type, List<Long> shape, long position, long bytes) {
  /** The most dimensions ggml has. */
  static final int MAX_RANK = 4;

  public GgufTensor {
    shape = List.copyOf(shape);
    if (position < 0 || byteCount(type, shape) != bytes) {
      throw new IllegalArgumentException(
          "tensor '%s' %s%s does not fill %d bytes at %d"
              .formatted(name, type, shape, bytes, position));
    }
  }

  /** Number of elements: the product of the shape, 1 for a scalar. */
  public long elements() {
    return shape.stream().mapToLong(Long::longValue).reduce(1, (a, b) -> a * b);
  }

  /** Elements of a row, the last dimension; a whole number of blocks. */
  public long rowElements() {
    return shape.isEmpty() ? 1 : shape.get(shape.size() - 1);
  }

  /** The shape as an array owned by the caller. */
  public long[] dimensions() {
    return shape.stream().mapToLong(Long::longValue).toArray();
  }

  /**
   * Bytes the blocks of a tensor fill.
   *
   * @param shape row-major
   * @throws ArithmeticException if a size is below 1, the product overflows, or a row is no whole
   *     number of blocks; the message says which
   */
  static long byteCount(GgmlType type, List<Long> shape) {
    long elements = 1;
    for (long size : shape) {
      if (size < 1) {
        throw new ArithmeticException(
            "dimension is " + Long.toUnsignedString(size) + ", expected 1 to 2^63 - 1");
      }
      elements = multiply(elements, size);
    }
    long row = shape.isEmpty() ? 1 : shape.get(shape.size() - 1);
    if (row % type.blockElements() != 0) {
      throw new ArithmeticException(
          "rows have %d elements, expected a multiple of %d, the block of %s"
              .formatted(row, type.blockElements(), type));
    }
    return multiply(elements / type.blockElements(), type.blockBytes());
  }

  private static long multiply(long a, long b) {
    if (Math.multiplyHigh(a, b) != 0 || a * b < 0) {
      throw new ArithmeticException("the product of the dimensions overflows 64 bits");
    }
    return a * b;
  }
}
