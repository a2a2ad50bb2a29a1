package ai.nibble.data;

import ai.nibble.InvalidInputException;
import java.nio.ByteBuffer;
import java.nio.CharBuffer;
import java.nio.charset.CharsetDecoder;
import java.nio.charset.CoderResult;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Arrays;

/** Whether the bytes of a file are UTF-8, looked at without holding them a second time. */
final class Utf8Check {
  private Utf8Check() {}

  /**
   * The bytes, without the mark that some editors put first.
   *
   * @throws InvalidInputException where they are not UTF-8
   */
  static byte[] require(Path path, byte[] all) {
    boolean marked =
        all.length >= 3 && all[0] == (byte) 0xef && all[1] == (byte) 0xbb && all[2] == (byte) 0xbf;
    byte[] bytes = marked ? Arrays.copyOfRange(all, 3, all.length) : all;
    if (bytes.length >= 2 && (bytes[0] == 0 || bytes[1] == 0)) {
      throw problem(path, 0); // UTF-16 or UTF-32, or a hole
    }
    CharsetDecoder decoder = StandardCharsets.UTF_8.newDecoder(); // which reports what is wrong
    ByteBuffer in = ByteBuffer.wrap(bytes);
    CharBuffer out = CharBuffer.allocate(1 << 14);
    CoderResult result;
    do {
      result = decoder.decode(in, out.clear(), true);
    } while (result.isOverflow());
    if (result.isError()) {
      throw problem(path, in.position());
    }
    return bytes;
  }

  private static InvalidInputException problem(Path path, int at) {
    return new InvalidInputException(
        path + ": not valid UTF-8 at byte " + at + ": fetch the file again");
  }

  /** Where in valid UTF-8 a character begins. */
  static int byteOffset(byte[] utf8, long utf16Offset) {
    long units = 0;
    int at = 0;
    for (; units < utf16Offset; at++) {
      int lead = utf8[at] & 0xff;
      // bytes that go on count nothing; a character of four bytes is two units
      units += lead < 0x80 || lead >= 0xc0 && lead < 0xf0 ? 1 : lead >= 0xf0 ? 2 : 0;
    }
    while (at < utf8.length && (utf8[at] & 0xc0) == 0x80) {
      at++;
    }
    return at;
  }

  /** Whether any part of a surrogate pair is written as an escape: {@code \ud83d}. */
  static boolean spellsSurrogates(byte[] json) {
    for (int i = 0; i + 3 < json.length; i++) {
      if (json[i] == '\\') {
        boolean surrogate =
            json[i + 1] == 'u'
                && (json[i + 2] | 0x20) == 'd'
                && (json[i + 3] >= '8' && json[i + 3] <= '9' || json[i + 3] >= 'A');
        if (surrogate) {
          return true;
        }
        i++;
      }
    }
    return false;
  }
}
