package ai.nibble.data;

import ai.nibble.InvalidInputException;
import com.fasterxml.jackson.databind.JsonNode;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.Base64;
import java.util.BitSet;
import java.util.Deque;

/**
 * SentencePiece's precompiled normalisation map: base64 of a byte length (u32, little-endian), a
 * double-array trie of that length (u32 units), and the replacement texts, each ended by a NUL.
 *
 * <p>A unit, as darts-clone packs it: bits 0–7 and 31 the label, bit 8 whether it has a value, bits
 * 10–30 the offset to its children, shifted left by 8 where bit 9 is set. The library follows
 * offsets without bounds, so every reachable unit is checked here.
 */
final class PrecompiledCharsmap {
  private PrecompiledCharsmap() {}

  static void check(Path path, String where, JsonNode charsmap) {
    byte[] bytes = charsmap != null && charsmap.isTextual() ? decode(charsmap.asText()) : null;
    if (bytes == null) {
      throw new InvalidInputException(
          path + ": " + where + ": 'precompiled_charsmap' is missing or no base64 text");
    }
    ByteBuffer buffer = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
    long trieBytes = bytes.length < 4 ? -1 : Integer.toUnsignedLong(buffer.getInt());
    if (trieBytes < 4 || trieBytes % 4 != 0 || trieBytes > bytes.length - 4) {
      throw new InvalidInputException(
          path
              + ": "
              + where
              + ": 'precompiled_charsmap' has "
              + bytes.length
              + " bytes and a trie of "
              + trieBytes
              + ", expected a trie that fits");
    }
    int[] units = new int[(int) trieBytes / 4];
    buffer.asIntBuffer().get(units);
    int texts = bytes.length - 4 - (int) trieBytes;
    if (!isSound(units, texts)) {
      throw new InvalidInputException(
          path + ": " + where + ": 'precompiled_charsmap' holds a trie that points outside itself");
    }
  }

  private static byte[] decode(String base64) {
    try {
      return Base64.getDecoder().decode(base64);
    } catch (IllegalArgumentException e) {
      return null;
    }
  }

  private static boolean isSound(int[] units, int texts) {
    BitSet seen = new BitSet();
    Deque<Integer> open = new ArrayDeque<>();
    open.push(0);
    seen.set(0);
    while (!open.isEmpty()) {
      int node = open.pop();
      int unit = units[node];
      int base = node ^ ((unit >>> 10) << ((unit & (1 << 9)) >>> 6));
      for (int c = 1; c < 256; c++) {
        int child = base ^ c;
        if (child < 0 || child >= units.length) {
          return false;
        }
        if ((units[child] & 0x800000ff) == c && !seen.get(child)) {
          seen.set(child);
          open.push(child);
        }
      }
      boolean hasValue = (unit & (1 << 8)) != 0;
      if (hasValue && (base < 0 || base >= units.length || (units[base] & 0x7fffffff) >= texts)) {
        return false;
      }
    }
    return true;
  }
}
