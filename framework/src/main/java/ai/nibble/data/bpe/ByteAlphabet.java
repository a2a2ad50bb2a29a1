package ai.nibble.data.bpe;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/**
 * GPT-2's alphabet: a printable character for each byte. Printable bytes of Latin-1 stand for
 * themselves, the others, in order, for U+0100 and up (GPT-2 {@code encoder.py}, {@code
 * bytes_to_unicode}).
 */
final class ByteAlphabet {
  static final int SIZE = 256;

  private static final char[] CHARACTERS = characters();

  private ByteAlphabet() {}

  private static char[] characters() {
    char[] characters = new char[SIZE];
    int next = SIZE;
    for (int b = 0; b < SIZE; b++) {
      boolean printable = b >= '!' && b <= '~' || b >= 0xa1 && b <= 0xff && b != 0xad;
      characters[b] = (char) (printable ? b : next++);
    }
    return characters;
  }

  /** All characters by code point, the order of their ids. */
  static char[] sorted() {
    char[] sorted = CHARACTERS.clone();
    Arrays.sort(sorted);
    return sorted;
  }

  /** The text's UTF-8 bytes as characters of the alphabet. */
  static String write(String text) {
    byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
    char[] written = new char[bytes.length];
    for (int i = 0; i < bytes.length; i++) {
      written[i] = CHARACTERS[bytes[i] & 0xff];
    }
    return new String(written);
  }
}
