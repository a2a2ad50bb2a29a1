package ai.nibble.quant.stored;

/** Integers of 2, 3, 4 or 8 bits in a stream of 32-bit words, least significant bits first. */
final class PackedIntegers {
  private PackedIntegers() {}

  /** Words that hold so many integers. */
  static long words(long integers, int bits) {
    return integers * bits / Integer.SIZE;
  }

  /** Whether so many integers fill whole words. */
  static boolean fill(long integers, int bits) {
    return integers * bits % Integer.SIZE == 0;
  }

  /**
   * Unpacks integers, one a byte.
   *
   * @param words the stream, from the first integer on
   * @param into receives {@code count} from {@code offset} on
   */
  static void unpack(int[] words, int bits, byte[] into, int offset, int count) {
    int mask = (1 << bits) - 1;
    int bit = 0;
    for (int i = 0; i < count; i++, bit += bits) {
      int word = bit >>> 5;
      int shift = bit & 31;
      int value = words[word] >>> shift;
      if (shift + bits > Integer.SIZE) { // of 3 bits some lie in two words
        value |= words[word + 1] << Integer.SIZE - shift;
      }
      into[offset + i] = (byte) (value & mask);
    }
  }
}
