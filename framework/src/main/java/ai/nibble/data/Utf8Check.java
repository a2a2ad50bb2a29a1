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
    CharsetDecoder decoder = StandardCharsets.UTF_8.newDecoder(); // which reports what is wrong
    ByteBuffer in = ByteBuffer.wrap(bytes);
    CharBuffer out = CharBuffer.allocate(1 << 14);
    CoderResult result;
    do {
      result = decoder.decode(in, out.clear(), true);
    } while (result.isOverflow());
    boolean wide = bytes.length >= 4 && (bytes[0] == 0 || bytes[1] == 0);
    if (result.isError() || wide) {
      throw new InvalidInputException(
          path
              + " is no UTF-8 text, at byte "
              + (wide ? 0 : in.position())
              + ": fetch the file again");
    }
    return bytes;
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
