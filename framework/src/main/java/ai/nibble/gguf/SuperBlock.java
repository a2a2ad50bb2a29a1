package ai.nibble.gguf;

/**
 * Where the bits of a K type's super-block lie: 256 codes in planes of one, two or four bits, and
 * scales of six bits. Every method takes the plane's first byte; a writer finds the plane zeroed.
 *
 * <pre>
 * bit    element e in byte e mod 32, bit e / 32
 * pair   element e in byte 32 (e / 128) + e mod 32, bits from 2 (e / 32 mod 4) on
 * nibble element e in byte 32 (e / 64) + e mod 32, low for e mod 64 &lt; 32, else high
 * Q6_K's nibble: byte 64 (e / 128) + e mod 64, low for e mod 128 &lt; 64, else high
 * </pre>
 */
final class SuperBlock {
  /** Elements of a super-block. */
  static final int ELEMENTS = 256;

  /** Bytes of eight scales and eight minima, or of Q3_K's sixteen scales, of six bits each. */
  static final int SCALE_BYTES = 12;

  private SuperBlock() {}

  static int bit(byte[] in, int at, int e) {
    return in[at + (e & 31)] >> (e >> 5) & 1;
  }

  static void putBit(byte[] out, int at, int e, int value) {
    out[at + (e & 31)] |= (byte) (value << (e >> 5));
  }

  static int pair(byte[] in, int at, int e) {
    return in[at + pairByte(e)] >> pairShift(e) & 3;
  }

  static void putPair(byte[] out, int at, int e, int value) {
    out[at + pairByte(e)] |= (byte) (value << pairShift(e));
  }

  private static int pairByte(int e) {
    return (e >> 7 << 5) + (e & 31);
  }

  private static int pairShift(int e) {
    return (e >> 5 & 3) << 1;
  }

  static int nibble(byte[] in, int at, int e) {
    return in[at + nibbleByte(e)] >> nibbleShift(e) & 15;
  }

  static void putNibble(byte[] out, int at, int e, int value) {
    out[at + nibbleByte(e)] |= (byte) (value << nibbleShift(e));
  }

  private static int nibbleByte(int e) {
    return (e >> 6 << 5) + (e & 31);
  }

  private static int nibbleShift(int e) {
    return (e >> 5 & 1) << 2;
  }

  static int nibbleQ6(byte[] in, int at, int e) {
    return in[at + nibbleQ6Byte(e)] >> nibbleQ6Shift(e) & 15;
  }

  static void putNibbleQ6(byte[] out, int at, int e, int value) {
    out[at + nibbleQ6Byte(e)] |= (byte) (value << nibbleQ6Shift(e));
  }

  private static int nibbleQ6Byte(int e) {
    return (e >> 7 << 6) + (e & 63);
  }

  private static int nibbleQ6Shift(int e) {
    return (e >> 6 & 1) << 2;
  }

  /**
   * Scale j of eight, 0 to 63: the low six bits of byte j; from the fifth on four bits of byte j +
   * 4 below the two highest of byte j - 4.
   */
  static int scale(byte[] in, int at, int j) {
    return j < 4 ? in[at + j] & 63 : in[at + j + 4] & 15 | (in[at + j - 4] >> 6 & 3) << 4;
  }

  /** Minimum j of eight, 0 to 63: as the scales, in bytes 4 to 7 and the high nibbles. */
  static int min(byte[] in, int at, int j) {
    return j < 4 ? in[at + j + 4] & 63 : in[at + j + 4] >> 4 & 15 | (in[at + j] >> 6 & 3) << 4;
  }

  static void putScaleAndMin(byte[] out, int at, int j, int scale, int min) {
    if (j < 4) {
      out[at + j] |= (byte) scale;
      out[at + j + 4] |= (byte) min;
    } else {
      out[at + j + 4] |= (byte) (scale & 15 | (min & 15) << 4);
      out[at + j - 4] |= (byte) (scale >> 4 << 6);
      out[at + j] |= (byte) (min >> 4 << 6);
    }
  }

  /**
   * Scale j of Q3_K's sixteen, -32 to 31, stored from 0 on: four bits in byte j mod 8, two in byte
   * 8 + j mod 4.
   */
  static int scaleQ3(byte[] in, int at, int j) {
    int low = in[at + (j & 7)] >> (j >> 3 << 2) & 15;
    int high = in[at + 8 + (j & 3)] >> (j >> 2 << 1) & 3;
    return (low | high << 4) - 32;
  }

  static void putScaleQ3(byte[] out, int at, int j, int scale) {
    int stored = scale + 32;
    out[at + (j & 7)] |= (byte) ((stored & 15) << (j >> 3 << 2));
    out[at + 8 + (j & 3)] |= (byte) (stored >> 4 << (j >> 2 << 1));
  }
}
