package ai.nibble.gguf;

/** The types of a metadata value; the ordinal is the number in the file. */
public enum MetadataType {
  UINT8(1),
  INT8(1),
  UINT16(2),
  INT16(2),
  UINT32(4),
  INT32(4),
  FLOAT32(4),
  BOOL(1),
  STRING(0),
  ARRAY(0),
  UINT64(8),
  INT64(8),
  FLOAT64(8);

  private static final MetadataType[] BY_NUMBER = values();

  private final int bytes;

  MetadataType(int bytes) {
    this.bytes = bytes;
  }

  /** Bytes of one value; 0 for strings and arrays, whose length the file tells. */
  int bytes() {
    return bytes;
  }

  /** True for the eight integer types. */
  public boolean isInteger() {
    return switch (this) {
      case UINT8, INT8, UINT16, INT16, UINT32, INT32, UINT64, INT64 -> true;
      default -> false;
    };
  }

  /** True for float32 and float64. */
  public boolean isFloatingPoint() {
    return this == FLOAT32 || this == FLOAT64;
  }

  /** The type of that number, or null where there is none. */
  static MetadataType ofNumber(int number) {
    return number >= 0 && number < BY_NUMBER.length ? BY_NUMBER[number] : null;
  }
}
