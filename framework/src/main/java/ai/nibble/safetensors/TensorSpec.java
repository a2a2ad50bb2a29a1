package ai.nibble.safetensors;

import ai.nibble.tensor.DType;
import java.util.Arrays;
import java.util.List;

/**
 * A tensor about to be written: everything but its bytes.
 *
 * @param name any text but {@code __metadata__}, which the format reserves
 * @param shape row-major dimensions; empty for a scalar
 */
public record TensorSpec(String name, SafetensorsType type, List<Long> shape) {
  /**
   * @throws IllegalArgumentException if the name is reserved or the shape cannot be stored
   */
  public TensorSpec {
    shape = List.copyOf(shape);
    if (name.equals(HeaderParser.METADATA)) {
      throw new IllegalArgumentException("the name '" + name + "' is reserved by the format");
    }
    if (shape.size() > SafetensorsTensor.MAX_RANK) {
      throw new IllegalArgumentException(
          "tensor '%s' has %d dimensions, expected at most %d"
              .formatted(name, shape.size(), SafetensorsTensor.MAX_RANK));
    }
    try {
      SafetensorsTensor.byteCount(type, shape);
    } catch (ArithmeticException e) {
      throw new IllegalArgumentException(
          "tensor '%s' %s%s: %s".formatted(name, type, shape, e.getMessage()), e);
    }
  }

  /** A tensor of a type Nibble computes with. */
  public static TensorSpec of(String name, DType dtype, long... shape) {
    return new TensorSpec(name, SafetensorsType.of(dtype), Arrays.stream(shape).boxed().toList());
  }

  /** Bytes the tensor will fill. */
  public long bytes() {
    return SafetensorsTensor.byteCount(type, shape);
  }
}
