package ai.nibble.safetensors;

import ai.nibble.tensor.DType;
import java.util.List;
import java.util.Optional;

/**
 * One tensor of a safetensors file: where its bytes lie and how to read them.
 *
 * @param name the key in the header
 * @param type element type as the file names it
 * @param shape row-major dimensions; empty for a scalar
 * @param begin first byte, counted from the start of the buffer that follows the header
 * @param end one past the last byte, counted likewise
 */
public record SafetensorsTensor(
    String name, SafetensorsType type, List<Long> shape, long begin, long end) {
  /** Numpy and PyTorch stop at 64 dimensions. */
  static final int MAX_RANK = 64;

  public SafetensorsTensor {
    shape = List.copyOf(shape);
    if (begin < 0 || end < begin || byteCount(type, shape) != end - begin) {
      throw new IllegalArgumentException(
          "tensor '%s' %s%s does not fill bytes %d to %d".formatted(name, type, shape, begin, end));
    }
  }

  /** Number of elements: the product of the shape, 1 for a scalar. */
  public long elements() {
    return shape.stream().mapToLong(Long::longValue).reduce(1, (a, b) -> a * b);
  }

  /** Bytes the tensor fills in the file. */
  public long bytes() {
    return end - begin;
  }

  /** The type Nibble computes with, or empty where it has none. */
  public Optional<DType> dtype() {
    return type.dtype();
  }

  /** The shape as an array owned by the caller. */
  public long[] dimensions() {
    return shape.stream().mapToLong(Long::longValue).toArray();
  }

  /**
   * Bytes a tensor of this shape fills.
   *
   * @throws ArithmeticException if the product overflows, a dimension is negative, or packed
   *     elements do not end on a byte; the message says which
   */
  static long byteCount(SafetensorsType type, List<Long> shape) {
    long elements = 1;
    for (long dimension : shape) {
      if (dimension < 0) {
        throw new ArithmeticException("dimension " + dimension + " is negative");
      }
      elements = multiply(elements, dimension);
    }
    long bits = multiply(elements, type.bits());
    if (bits % 8 != 0) {
      throw new ArithmeticException(
          elements + " elements of " + type.bits() + " bits do not fill whole bytes");
    }
    return bits / 8;
  }

  private static long multiply(long a, long b) {
    long product = a * b;
    if (Math.multiplyHigh(a, b) != 0 || product < 0) {
      throw new ArithmeticException("the product of the dimensions overflows 64 bits");
    }
    return product;
  }
}
