package ai.nibble.safetensors;

import ai.nibble.tensor.DType;
import java.util.Arrays;
import java.util.Optional;
import java.util.stream.Collectors;

/**
 * The element types a safetensors file may hold, under the names the header gives them.
 *
 * <p>The order of the constants is the reference's: its writer lays tensors out by descending type,
 * then by name. (F8_E8M0 and what follows it up to U64 are in order of size, so that wide elements
 * come first and stay aligned.)
 */
public enum SafetensorsType {
  BOOL(8, DType.BOOL),
  F4(4, null),
  F6_E2M3(6, null),
  F6_E3M2(6, null),
  U8(8, DType.UINT8),
  I8(8, DType.INT8),
  F8_E5M2(8, null),
  F8_E4M3(8, null),
  F8_E8M0(8, null),
  F8_E4M3FNUZ(8, null),
  F8_E5M2FNUZ(8, null),
  I16(16, DType.INT16),
  U16(16, null),
  F16(16, DType.FLOAT16),
  BF16(16, DType.BFLOAT16),
  I32(32, DType.INT32),
  U32(32, null),
  F32(32, DType.FLOAT32),
  C64(64, null),
  F64(64, DType.FLOAT64),
  I64(64, DType.INT64),
  U64(64, null);

  private final int bits;
  private final DType dtype;

  SafetensorsType(int bits, DType dtype) {
    this.bits = bits;
    this.dtype = dtype;
  }

  /** Bits of one element; 4 and 6 for the packed small floats. */
  public int bits() {
    return bits;
  }

  /** The type Nibble computes with, or empty where it has none (fp8, unsigned 16 to 64 bits …). */
  public Optional<DType> dtype() {
    return Optional.ofNullable(dtype);
  }

  /** The type under which values of {@code dtype} are stored. */
  public static SafetensorsType of(DType dtype) {
    return Arrays.stream(values()).filter(t -> t.dtype == dtype).findFirst().orElseThrow();
  }

  /** The type of that name in a header, or empty. */
  static Optional<SafetensorsType> named(String name) {
    return Arrays.stream(values()).filter(t -> t.name().equals(name)).findFirst();
  }

  static String names() {
    return Arrays.stream(values()).map(Enum::name).collect(Collectors.joining(", "));
  }
}
