package ai.nibble.gguf;

/**
 * The element types of GGUF tensors, with their numbers and block sizes.
 *
 * <p>All types in use are known, so that any well-formed file can be opened and listed; those with
 * {@link #isSupported} can be turned into float32, those with {@link #isWritten} made of it.
 * Source: {@code ggml.h}, {@code gguf-py/gguf/constants.py}.
 */
public enum GgmlType {
  F32(0, 1, 4, true),
  F16(1, 1, 2, true),
  Q4_0(2, 32, 18, true),
  Q4_1(3, 32, 20, true),
  Q5_0(6, 32, 22, true),
  Q5_1(7, 32, 24, true),
  Q8_0(8, 32, 34, true),
  Q8_1(9, 32, 36, false),
  Q2_K(10, 256, 84, true),
  Q3_K(11, 256, 110, true),
  Q4_K(12, 256, 144, true),
  Q5_K(13, 256, 176, true),
  Q6_K(14, 256, 210, true),
  Q8_K(15, 256, 292, false),
  IQ2_XXS(16, 256, 66, false),
  IQ2_XS(17, 256, 74, false),
  IQ3_XXS(18, 256, 98, false),
  IQ1_S(19, 256, 50, false),
  IQ4_NL(20, 32, 18, true),
  IQ3_S(21, 256, 110, false),
  IQ2_S(22, 256, 82, false),
  IQ4_XS(23, 256, 136, true),
  I8(24, 1, 1, false),
  I16(25, 1, 2, false),
  I32(26, 1, 4, false),
  I64(27, 1, 8, false),
  F64(28, 1, 8, false),
  IQ1_M(29, 256, 56, false),
  BF16(30, 1, 2, true),
  TQ1_0(34, 256, 54, false),
  TQ2_0(35, 256, 66, false),
  MXFP4(39, 32, 17, false),
  NVFP4(40, 64, 36, false),
  Q1_0(41, 128, 18, false);

  private static final GgmlType[] ALL = values();

  private final int number;
  private final int blockElements;
  private final int blockBytes;
  private final boolean supported;

  GgmlType(int number, int blockElements, int blockBytes, boolean supported) {
    this.number = number;
    this.blockElements = blockElements;
    this.blockBytes = blockBytes;
    this.supported = supported;
  }

  /** The number in the file. */
  public int number() {
    return number;
  }

  /** Elements of a block, consecutive in a row; 1 for plain types. */
  public int blockElements() {
    return blockElements;
  }

  /** Bytes of a block. */
  public int blockBytes() {
    return blockBytes;
  }

  /** True where {@link GgufFile#dequantize} reads the type. */
  public boolean isSupported() {
    return supported;
  }

  /**
   * True where {@link GgufWriter} writes the type: all that are read but those whose good codes
   * only come of weighing each column by how much a model uses it.
   */
  public boolean isWritten() {
    return supported && this != IQ4_NL && this != IQ4_XS;
  }

  /** The type of that number, or null where there is none. */
  static GgmlType ofNumber(int number) {
    for (GgmlType type : ALL) {
      if (type.number == number) {
        return type;
      }
    }
    return null;
  }

  /** The name of a type that ggml once had and took out again, or null. */
  static String removed(int number) {
    return switch (number) {
      case 4 -> "Q4_2";
      case 5 -> "Q4_3";
      case 31 -> "Q4_0_4_4";
      case 32 -> "Q4_0_4_8";
      case 33 -> "Q4_0_8_8";
      case 36 -> "IQ4_NL_4_4";
      case 37 -> "IQ4_NL_4_8";
      case 38 -> "IQ4_NL_8_8";
      default -> null;
    };
  }
}
