package ai.nibble.gguf;

import java.nio.charset.StandardCharsets;
import java.util.List;

/**
 * A tensor about to be written: everything but its values.
 *
 * @param name at most 63 bytes of UTF-8
 * @param type one that {@link GgmlType#isSupported}
 * @param shape row-major, slowest-varying first ({@code [out, in]}); one to four dimensions
 */
public record GgufTensorSpec(String name, GgmlType type, List<Long> shape) {
  /**
   * @throws IllegalArgumentException if the name is too long, the type is not written, or a row is
   *     no whole number of its blocks
   */
  public GgufTensorSpec {
    shape = List.copyOf(shape);
    int nameBytes = name.getBytes(StandardCharsets.UTF_8).length;
    if (nameBytes < 1 || nameBytes > GgufReader.MAX_NAME_BYTES) {
      throw new IllegalArgumentException(
          "tensor '%s': the name has %d bytes, expected 1 to %d"
              .formatted(name, nameBytes, GgufReader.MAX_NAME_BYTES));
    }
    if (!type.isWritten()) {
      throw new IllegalArgumentException("tensor '" + name + "': " + type + " is not written");
    }
    if (shape.isEmpty() || shape.size() > GgufTensor.MAX_RANK) {
      throw new IllegalArgumentException(
          "tensor '%s' has %d dimensions, expected 1 to %d"
              .formatted(name, shape.size(), GgufTensor.MAX_RANK));
    }
    try {
      GgufTensor.byteCount(type, shape);
    } catch (ArithmeticException e) {
      throw new IllegalArgumentException("tensor '" + name + "': " + e.getMessage(), e);
    }
  }

  /** Bytes the blocks will fill, without padding. */
  public long bytes() {
    return GgufTensor.byteCount(type, shape);
  }

  /** Elements of a row, the last dimension. */
  public int rowElements() {
    return Math.toIntExact(shape.get(shape.size() - 1));
  }

  /** Number of rows: the product of all dimensions but the last. */
  public long rows() {
    return shape.stream().reduce(1L, (a, b) -> a * b) / rowElements();
  }
}
