package ai.nibble.tensor;

/** The element types Nibble computes with and reads, under the names PyTorch gives them. */
public enum DType {
  FLOAT32("float32", 6, 4, true),
  FLOAT16("float16", 5, 2, true),
  BFLOAT16("bfloat16", 15, 2, true),
  FLOAT64("float64", 7, 8, true),
  INT64("int64", 4, 8, false),
  UINT64("uint64", 29, 8, false),
  INT32("int32", 3, 4, false),
  INT16("int16", 2, 2, false),
  INT8("int8", 1, 1, false),
  UINT8("uint8", 0, 1, false),
  BOOL("bool", 11, 1, false);

  private final String torchName;
  private final int scalarType;
  private final int bytes;
  private final boolean floatingPoint;

  DType(String torchName, int scalarType, int bytes, boolean floatingPoint) {
    this.torchName = torchName;
    this.scalarType = scalarType;
    this.bytes = bytes;
    this.floatingPoint = floatingPoint;
  }

  /** The name in {@code config.json} and in PyTorch, for example {@code bfloat16}. */
  public String torchName() {
    return torchName;
  }

  /** Bytes of one element. */
  public int bytes() {
    return bytes;
  }

  public boolean isFloatingPoint() {
    return floatingPoint;
  }

  /**
   * Rounds elements {@code [begin, end)} to this dtype, to nearest even; float32 leaves them.
   *
   * @throws IllegalArgumentException for other types than float32, bfloat16 and float16
   */
  public void round(float[] values, int begin, int end) {
    switch (this) {
      case FLOAT32 -> {}
      case BFLOAT16 -> {
        for (int i = begin; i < end; i++) {
          values[i] = Bfloat16.round(values[i]);
        }
      }
      case FLOAT16 -> {
        for (int i = begin; i < end; i++) {
          values[i] = Float16.toFloat(Float16.of(values[i]));
        }
      }
      default -> throw new IllegalArgumentException("no rounding to " + torchName);
    }
  }

  /** {@code c10::ScalarType}, whose numbers are part of libtorch's stable ABI. */
  int scalarType() {
    return scalarType;
  }

  static DType ofScalarType(int scalarType) {
    for (DType dtype : values()) {
      if (dtype.scalarType == scalarType) {
        return dtype;
      }
    }
    throw new TensorException("libtorch scalar type " + scalarType + " has no counterpart here");
  }
}
